"""Running out of memory in training."""

import weakref

import pytest
import torch

from pneumo_utils.errors import PneumoError
from pneumo_utils.training.fit import fit
from pneumo_utils.training.lr_finder import find_lr
from pneumo_utils.training.trainer import Trainer

REMEDY = r"Memory ran out at batch_size 16 and image_size 32\. Lower --batch_size or --image_size"


@pytest.fixture
def fail(monkeypatch):
    """Makes the second step of a training fail with an error of a kind and text.

    It returns a list, which then holds references to what was in memory.
    """

    def set_error(kind: type, text: str) -> list[weakref.ref]:
        held, step = [], Trainer.step

        def step_once(self, index):
            if held:
                raise kind(text)
            held.extend(weakref.ref(part) for part in (self, self.images, self.averaged))
            return step(self, index)

        monkeypatch.setattr(Trainer, "step", step_once)
        return held

    return set_error


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB."),
        (RuntimeError, "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you"),
        (RuntimeError, "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        (RuntimeError, "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        (MemoryError, "Unable to allocate 8.00 GiB for an array"),
    ],
)
def test_a_sentence_says_what_to_lower_and_all_is_freed(phantoms, tiny_config, fail, kind, text):
    held = fail(kind, text)
    with pytest.raises(PneumoError, match=REMEDY) as caught:
        fit(tiny_config, phantoms[0], val=phantoms[1], say=lambda text: None)
    assert [reference() for reference in held] == [None, None, None]
    assert caught.value.__context__ is None  # else the error at hand would hold the tensors


def test_the_learning_rate_finder_says_it_too(phantoms, tiny_config, fail):
    fail(MemoryError, "")
    with pytest.raises(PneumoError, match=REMEDY):
        find_lr(tiny_config, phantoms[0], num_steps=10, say=lambda text: None)


def test_another_error_stays_what_it_is(phantoms, tiny_config, fail):
    fail(RuntimeError, "mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fit(tiny_config, phantoms[0], val=phantoms[1], say=lambda text: None)
