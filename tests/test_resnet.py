"""ResNet-18 on grey films, and torchvision's own download of its ImageNet weights."""

import http.server
import threading

import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

from pneumo_utils.errors import PneumoError
from pneumo_utils.models import backbone
from pneumo_utils.models.backbone import ResnetFinetune
from pneumo_utils.models.registry import build_model


@pytest.fixture(scope="module")
def imagenet_state():
    """Random numbers in the shape of torchvision's ImageNet weights."""
    torch.manual_seed(0)
    return resnet18().state_dict()


def test_resnet_18_has_its_published_size():
    # torchvision documents 11,689,512 parameters: less the classifier of 513,000 and two of three input
    # channels of the first layer (2 x 64 x 49), plus a head of 513.
    count = sum(p.numel() for p in build_model("resnet_finetune").parameters())
    assert count == 11_689_512 - 513_000 - 6_272 + 513


def test_grey_weights_see_a_grey_film_as_the_colour_network_does(imagenet_state):
    colour = resnet18()
    colour.load_state_dict(imagenet_state)
    colour.fc = torch.nn.Identity()
    grey = ResnetFinetune()
    grey.use_imagenet_state(imagenet_state)
    film = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        expected = colour.eval()(film.expand(-1, 3, -1, -1))
        assert torch.allclose(grey.backbone.eval()(film), expected, atol=1e-4)


def test_weights_of_another_network_are_refused():
    with pytest.raises(PneumoError, match="ResNet-18"):
        ResnetFinetune().use_imagenet_state({"conv1.weight": torch.zeros(8, 3, 7, 7)})


@pytest.mark.system
def test_torchvisions_own_loader_fetches_from_a_server(tmp_path, monkeypatch, imagenet_state):
    torch.save(imagenet_state, tmp_path / "resnet18.pth")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    weights = ResNet18_Weights.IMAGENET1K_V1.value
    before = weights.url
    try:
        object.__setattr__(weights, "url", f"http://127.0.0.1:{server.server_port}/resnet18.pth")
        loaded = ResnetFinetune().load_imagenet_state()
        object.__setattr__(weights, "url", f"http://127.0.0.1:{server.server_port}/absent.pth")
        assert ResnetFinetune().load_imagenet_state() is None
    finally:
        object.__setattr__(weights, "url", before)
        server.shutdown()
        server.server_close()
    assert torch.equal(loaded["layer4.1.conv2.weight"], imagenet_state["layer4.1.conv2.weight"])


def test_a_dead_network_gives_no_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refuse(*arguments, **settings):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    timeout = backbone.socket.getdefaulttimeout()
    assert ResnetFinetune().load_imagenet_state() is None
    assert backbone.socket.getdefaulttimeout() == timeout
