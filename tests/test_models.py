"""Networks: shapes, sizes, ImageNet weights, batched prediction."""

import http.server
import threading

import numpy as np
import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

from pneumo_utils.data.transforms import EvalTransform
from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models import resnet
from pneumo_utils.models.predict import compute_probs, predict_logits
from pneumo_utils.models.registry import MODELS, build_model, count_parameters
from pneumo_utils.models.resnet import ResnetFinetune, load_imagenet_state


@pytest.fixture(scope="module")
def imagenet_state():
    """Random numbers in the shape of torchvision's ImageNet weights."""
    torch.manual_seed(0)
    return resnet18().state_dict()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [32, 96])
def test_every_model_gives_one_logit_a_film_and_has_a_head(name, size):
    model = build_model(name)
    assert model(torch.zeros(3, 1, size, size)).shape == (3,)
    assert sum(p.numel() for p in model.head.parameters()) < count_parameters(model) / 100


def test_the_baseline_is_small():
    assert count_parameters(build_model("cnn_baseline")) <= 2_000_000


def test_resnet_18_has_its_published_size():
    # torchvision documents 11,689,512 parameters: less the classifier of 513,000 and two of three input
    # channels of the first layer (2 x 64 x 49), plus a head of 513.
    assert count_parameters(build_model("resnet_finetune")) == 11_689_512 - 513_000 - 6_272 + 513


def test_an_unknown_model_is_named():
    with pytest.raises(UsageError, match=r"'vgg'.*cnn_baseline"):
        build_model("vgg")


def test_grey_weights_see_a_grey_film_as_the_colour_network_does(imagenet_state):
    colour = resnet18()
    colour.load_state_dict(imagenet_state)
    colour.fc = torch.nn.Identity()
    grey = ResnetFinetune()
    grey.load_imagenet_weights(imagenet_state)
    film = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        expected = colour.eval()(film.expand(-1, 3, -1, -1))
        assert torch.allclose(grey.backbone.eval()(film), expected, atol=1e-4)


def test_weights_of_another_network_are_refused():
    with pytest.raises(PneumoError, match="ResNet-18"):
        ResnetFinetune().load_imagenet_weights({"conv1.weight": torch.zeros(8, 3, 7, 7)})


def test_weights_come_from_a_file(tmp_path, imagenet_state):
    torch.save(imagenet_state, tmp_path / "w.pth")
    loaded = load_imagenet_state(tmp_path / "w.pth")
    assert torch.equal(loaded["conv1.weight"], imagenet_state["conv1.weight"])


@pytest.mark.parametrize("content", [None, b"", b"rubbish"])
def test_a_file_that_is_no_weights_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(PneumoError, match=r"w\.pth cannot be read as weights"):
        load_imagenet_state(tmp_path / "w.pth")


class Pickled:
    """Would run code if it were unpickled."""

    def __reduce__(self):
        return (print, ("this must not run",))


def test_a_pickle_in_a_weights_file_is_not_run(tmp_path, capsys):
    torch.save({"x": Pickled()}, tmp_path / "w.pth")
    with pytest.raises(PneumoError):
        load_imagenet_state(tmp_path / "w.pth")
    assert "this must not run" not in capsys.readouterr().out


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
        loaded = load_imagenet_state()
        object.__setattr__(weights, "url", f"http://127.0.0.1:{server.server_port}/absent.pth")
        assert load_imagenet_state() is None
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
    timeout = resnet.socket.getdefaulttimeout()
    assert load_imagenet_state() is None
    assert resnet.socket.getdefaulttimeout() == timeout


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_logits_do_not_depend_on_the_batch(batch_size):
    torch.manual_seed(0)
    model, transform = build_model("cnn_baseline"), EvalTransform(32)
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32), dtype=np.uint8)
    got = predict_logits(model, images, transform=transform, batch_size=batch_size)
    with torch.no_grad():
        expected = model.eval()(transform(torch.from_numpy(images))).numpy()
    assert got == pytest.approx(expected, abs=1e-5) and got.dtype == np.float64


def test_prediction_leaves_the_mode_as_it_was():
    model = build_model("cnn_baseline").train()
    before = model.features[0][1].running_mean.clone()
    predict_logits(model, np.full((4, 32, 32), 99, np.uint8), transform=EvalTransform(32))
    assert model.training and torch.equal(before, model.features[0][1].running_mean)


def test_no_films_give_no_logits():
    empty = np.zeros((0, 32, 32), np.uint8)
    assert predict_logits(build_model("cnn_baseline"), empty, transform=EvalTransform(32)).shape == (0,)


def test_probabilities_are_the_logistic_function():
    logits = np.array([0.0, np.log(3), -np.log(3), 1e6, -1e6])
    assert compute_probs(logits) == pytest.approx([0.5, 0.75, 0.25, 1, 0])
    assert compute_probs(2 * logits, 2.0) == pytest.approx([0.5, 0.75, 0.25, 1, 0])
