"""What every network with a pretrained backbone shares: its blocks, and the way ImageNet weights come in."""

import pytest
import torch
from torch import nn

from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.backbone import FinetunedBackbone, TimmFinetune
from pneumo_utils.models.registry import build_model

NAMES = ("resnet_finetune", "efficientnet_lite0_finetune", "timm_resnet10t")


class SmallNet(nn.Module):
    """Seven parts, three of them with weights, two of these in a sequence; a classifier that is left out."""

    def __init__(self, channels: int, *, num_classes: int = 0):
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3)
        self.act = nn.ReLU()
        self.stages = nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Conv2d(5, 6, 3))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(6, num_classes) if num_classes else nn.Identity()

    def forward(self, images):
        return self.fc(self.pool(self.stages(self.act(self.stem(images)))).flatten(1))


class SmallFinetune(FinetunedBackbone):
    """Its published weights are in `published`."""

    weights_hint = "the weights of the small network"
    published = None

    def __init__(self):
        super().__init__(SmallNet(1), 6, 0.0)

    def fetch_imagenet_state(self):
        return self.published


@pytest.fixture
def colour():
    torch.manual_seed(1)
    return SmallNet(3, num_classes=7)


def test_sequences_are_opened_up_and_parts_without_weights_left_out():
    model = SmallFinetune()
    stages = model.backbone.stages
    assert [id(block) for block in model.blocks] == [id(model.backbone.stem), id(stages[0]), id(stages[2])]


@pytest.mark.parametrize("name", NAMES)
def test_the_blocks_hold_each_parameter_of_the_backbone_once(name):
    model = build_model(name)
    in_blocks = [id(parameter) for block in model.blocks for parameter in block.parameters()]
    assert len(in_blocks) == len(set(in_blocks)) > 0
    assert set(in_blocks) == {id(parameter) for parameter in model.backbone.parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_the_blocks_stand_in_the_order_in_which_a_film_goes_through_them(name):
    model, visited = build_model(name).eval(), []
    for index, block in enumerate(model.blocks):
        block.register_forward_hook(lambda *args, index=index: visited.append(index))
    with torch.no_grad():
        model(torch.zeros(1, 1, 64, 64))
    assert visited == list(range(len(model.blocks)))


def test_a_grey_film_is_seen_as_the_colour_network_sees_it(colour):
    model, film = SmallFinetune(), torch.rand(2, 1, 16, 16)
    model.use_imagenet_state(colour.state_dict())
    colour.fc = nn.Identity()
    with torch.no_grad():
        assert torch.allclose(model.backbone(film), colour(film.expand(-1, 3, -1, -1)), atol=1e-6)


def test_the_head_and_the_dict_that_was_handed_over_stay_as_they_are(colour):
    model, state = SmallFinetune(), colour.state_dict()
    head = model.head.weight.clone()
    model.use_imagenet_state(state)
    assert torch.equal(model.head.weight, head)
    assert state["stem.weight"].shape == (4, 3, 3, 3) and "fc.weight" in state


@pytest.mark.parametrize("change", ["shape", "missing", "unexpected"])
def test_tensors_of_another_network_are_refused(colour, change):
    state = colour.state_dict()
    if change == "shape":
        state["stages.0.weight"] = torch.zeros(5, 4, 1, 1)
    elif change == "missing":
        del state["stages.2.bias"]
    else:
        state["stages.9.weight"] = torch.zeros(1)
    with pytest.raises(
        PneumoError, match=r"do not fit SmallNet .*stages\..*the weights of the small network"
    ):
        SmallFinetune().use_imagenet_state(state)


def test_a_transformer_whose_tokens_no_block_holds_is_refused():
    with pytest.raises(UsageError, match="timm's vit_tiny_patch16_224 has weights outside of its blocks"):
        TimmFinetune("vit_tiny_patch16_224", dropout=0.0)


def test_without_a_file_the_weights_are_fetched(colour):
    model = SmallFinetune()
    assert model.load_imagenet_state() is None
    model.published = colour.state_dict()
    assert model.load_imagenet_state() is model.published


def test_a_file_that_is_named_is_taken_and_nothing_fetched(tmp_path, colour, monkeypatch):
    torch.save(colour.state_dict(), tmp_path / "w.pth")
    monkeypatch.setattr(SmallFinetune, "fetch_imagenet_state", lambda self: pytest.fail("fetched"))
    loaded = SmallFinetune().load_imagenet_state(tmp_path / "w.pth")
    assert set(loaded) == set(colour.state_dict())
    assert all(torch.equal(loaded[name], value) for name, value in colour.state_dict().items())


def test_weights_kept_inside_a_wrapper_are_read_and_those_that_are_no_numbers_refused(tmp_path, colour):
    said, state = [], colour.state_dict()
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "w.pth")
    model = SmallFinetune()
    assert set(model.load_imagenet_state(tmp_path / "w.pth", say=said.append)) == set(state)
    assert len(said) == 1 and "DataParallel" in said[0]
    state["stages.0.weight"] = torch.full_like(state["stages.0.weight"], float("nan"))
    with pytest.raises(PneumoError, match=r"values that are not numbers or infinite in stages\.0\.weight"):
        model.use_imagenet_state(state)


@pytest.mark.parametrize("content", [None, b"", b"rubbish", [1], {"epoch": 3}])
def test_a_file_that_is_no_weights_is_named(tmp_path, content):
    if isinstance(content, bytes):
        (tmp_path / "w.pth").write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / "w.pth")
    with pytest.raises(
        PneumoError, match=r"w\.pth cannot be read as weights .*the weights of the small network"
    ):
        SmallFinetune().load_imagenet_state(tmp_path / "w.pth")


class Pickled:
    """Would run code if it were unpickled."""

    def __reduce__(self):
        return (print, ("this must not run",))


def test_a_pickle_in_a_weights_file_is_not_run(tmp_path, capsys):
    torch.save({"x": Pickled()}, tmp_path / "w.pth")
    with pytest.raises(PneumoError):
        SmallFinetune().load_imagenet_state(tmp_path / "w.pth")
    assert "this must not run" not in capsys.readouterr().out
