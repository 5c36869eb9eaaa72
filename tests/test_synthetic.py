"""Phantoms: repeatable, grouped by patient, with a signal to learn and no shortcut."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pneumo_utils.data import synthetic
from pneumo_utils.data.synthetic import MIN_FILMS, make_phantoms
from pneumo_utils.errors import UsageError


@pytest.fixture(scope="module")
def films():
    return make_phantoms(600, image_size=32, seed=5)


def test_the_table_is_what_every_source_gives(films):
    assert films.images.shape == (600, 32, 32) and films.images.dtype == np.uint8
    assert films.labels.dtype == np.int64 and set(films.labels) == {0, 1}
    assert films.source == "synthetic" and films.is_synthetic and films.split == "train"
    assert films.names[0] == "synthetic-train-0000-1.png" and len(set(films.names)) == 600
    assert len({film.tobytes() for film in films.images}) == 600


def test_films_use_the_range_of_greys_and_are_not_blank(films):
    assert films.images.min() < 30 and films.images.max() > 225
    assert films.images.reshape(600, -1).std(axis=1).min() > 25


@pytest.mark.parametrize("image_size", [32, 63, 64, 512])
def test_sizes_at_the_limits(image_size):
    assert make_phantoms(8, image_size=image_size).images.shape == (8, image_size, image_size)


def test_the_size_does_not_change_what_is_drawn():
    small, large = make_phantoms(24, image_size=64), make_phantoms(24, image_size=128)
    assert (small.names == large.names).all() and (small.subtypes == large.subtypes).all()
    shrunk = large.images.reshape(24, 64, 2, 64, 2).mean((2, 4))
    for one, other in zip(small.images, shrunk, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    first, again, other = (make_phantoms(20, image_size=32, seed=seed) for seed in (3, 3, 4))
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert (first.subtypes == again.subtypes).all()
    assert not (first.images[0] == other.images[0]).all()


def test_drawing_leaves_the_global_random_state_alone():
    np.random.seed(0)
    expected = np.random.random()
    np.random.seed(0)
    make_phantoms(8, image_size=32)
    assert np.random.random() == expected


def test_a_film_does_not_depend_on_how_many_are_drawn(films):
    for count in (8, 9, 10, 11, 50):
        few = make_phantoms(count, image_size=32, seed=5)
        assert few.fingerprint() == films.select(slice(count)).fingerprint()


def test_splits_share_no_patient_and_no_film():
    splits = [make_phantoms(60, image_size=32, split=split) for split in ("train", "val", "test")]
    for i, one in enumerate(splits):
        for other in splits[i + 1 :]:
            assert not set(one.patients) & set(other.patients)
            assert not {f.tobytes() for f in one.images} & {f.tobytes() for f in other.images}


def test_films_of_a_patient_share_label_and_subtype_and_are_not_copies(films):
    sizes, within = set(), []
    for patient in np.unique(films.patients):
        mine = films.select(films.patients == patient)
        sizes.add(len(mine))
        assert len(set(mine.labels)) == 1 and len(set(mine.subtypes)) == 1
        if len(mine) > 1:
            within.append(np.corrcoef(mine.images[:2].reshape(2, -1))[0, 1])
    assert sizes == {1, 2, 3}
    assert max(within) < 0.999, "two films of a patient are copies of each other"


def test_films_of_a_patient_share_anatomy(monkeypatch):
    # With pose and exposure held still, only grain is left to differ within a patient.
    still = {name: (low, low) for name, (low, _) in synthetic.FILM.items()}
    monkeypatch.setattr(synthetic, "FILM", still)
    films = make_phantoms(40, image_size=64)
    alike = np.corrcoef(films.images.reshape(40, -1))
    same = films.patients[:, None] == films.patients
    assert alike[same].min() > 0.97
    assert alike[~same].max() < alike[same].min()


def test_labels_follow_subtypes_in_the_stated_share(films):
    assert set(films.subtypes) == {"normal", "bacterial", "viral"}
    assert ((films.subtypes != "normal") == films.labels).all()
    assert 0.54 < films.labels.mean() < 0.66


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_fewest_films_hold_both_classes_for_any_seed(split):
    for seed in range(25):
        make_phantoms(MIN_FILMS, image_size=32, split=split, seed=seed).require_both_classes()


@pytest.mark.parametrize(
    ("num_films", "options"),
    [
        (7, {}),
        (-1, {}),
        (8, {"image_size": 31}),
        (8, {"image_size": 513}),
        (8, {"split": "holdout"}),
        (8, {"seed": -1}),
        (8, {"seed": 2**32}),
    ],
)
def test_a_request_out_of_range_is_refused_with_the_value_and_the_range(num_films, options):
    name, value = next(iter(options.items()), ("num_films", num_films))
    with pytest.raises(UsageError, match=f"^{name} is '?{value}'?; expected"):
        make_phantoms(num_films, **options)


@pytest.mark.parametrize("compute", [np.mean, np.std, np.median])
def test_overall_brightness_does_not_give_the_label_away(films, compute):
    assert 0.4 < roc_auc_score(films.labels, compute(films.images, axis=(1, 2))) < 0.65


def test_a_linear_model_learns_something_but_not_everything(films):
    held_out = make_phantoms(300, image_size=32, split="test", seed=5)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=500))
    model.fit(films.images.reshape(600, -1), films.labels)
    auroc = roc_auc_score(held_out.labels, model.decision_function(held_out.images.reshape(300, -1)))
    assert 0.6 < auroc < 0.9
