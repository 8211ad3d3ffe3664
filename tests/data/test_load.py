"""Loading: forms, balanced parts, normalization, the choice of "auto", and what is refused."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import each_refused

from mixlab.data import load as data
from mixlab.data.dataset import Dataset, Split
from mixlab.data.load import load
from mixlab.data.parts import complement, stratified

REAL = pytest.mark.skipif(not data.is_cached("cifar10"), reason="the cache of CIFAR-10 does not exist")


@pytest.fixture(autouse=True)
def _few_test_pictures(monkeypatch):
    monkeypatch.setattr(data, "SHAPES_TEST", 500)


def test_auto_takes_shapes_where_cifar_is_missing_and_says_so_in_one_line(tmp_path, capsys):
    loaded = load("auto", train_size=20, root=tmp_path / "none")
    assert loaded.name == "shapes"
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert all(part in line for part in ("Shapes", f"{tmp_path}/none/cifar10.safetensors", "load('cifar10')"))
    assert not (tmp_path / "none").exists()


def test_shapes_by_load():
    loaded = load("shapes", train_size=203, seed=4, difficulty=0.2, label_noise=0.0)
    assert repr(loaded) == 'Dataset("shapes", train 203, test 500, 10 classes)'
    assert repr(loaded.train) == "Split(203 images of 3x32x32)"
    counts = torch.bincount(loaded.train.labels, minlength=10)
    assert counts.sum() == 203
    assert set(counts.tolist()) == {20, 21}
    other = load("shapes", train_size=203, seed=5, difficulty=0.2, label_noise=0.5)
    assert torch.equal(other.test.images, loaded.test.images)
    assert torch.equal(other.test.labels, loaded.test.labels)
    assert not torch.equal(other.train.images, loaded.train.images)


@settings(max_examples=60, deadline=None)
@given(classes=st.integers(2, 12), each=st.integers(1, 30), seed=st.integers(0, 2**63 - 1), pick=st.data())
def test_parts_are_balanced_nested_and_repeatable(classes, each, seed, pick):
    labels = torch.arange(classes).repeat(each)[torch.randperm(classes * each)]
    size = pick.draw(st.integers(classes, classes * each))
    chosen = stratified(labels, size, seed=seed)
    assert len(set(chosen.tolist())) == size
    assert chosen.tolist() == sorted(chosen.tolist())
    counts = torch.bincount(labels[chosen], minlength=classes)
    assert counts.max() - counts.min() <= 1
    assert torch.equal(chosen, stratified(labels, size, seed=seed))
    if size > classes:
        assert set(stratified(labels, size - 1, seed=seed).tolist()) < set(chosen.tolist())


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=8), seed=st.integers(0, 99), pick=st.data())
def test_parts_of_imbalanced_sets_keep_the_shares(counts, seed, pick):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))[torch.randperm(sum(counts))]
    size = pick.draw(st.integers(len(counts), sum(counts)))
    chosen = stratified(labels, size, seed=seed)
    seats = [1] * len(counts)  # Webster's method, a seat at a time
    for _ in range(size - len(counts)):
        seats[max(range(len(counts)), key=lambda i: Fraction(2 * counts[i], 2 * seats[i] + 1))] += 1
    ours = torch.bincount(labels[chosen], minlength=len(counts)).tolist()
    quotients = [
        sorted(Fraction(2 * j + 1, count) for count, most in zip(counts, given, strict=True) for j in range(1, most))
        for given in (ours, seats)
    ]
    assert quotients[0] == quotients[1]  # which ties do not change
    assert (len(chosen), sum(ours), min(ours) >= 1) == (size, size, True)
    assert torch.cat([complement(chosen, len(labels)), chosen]).sort().values.equal(torch.arange(len(labels)))


IMAGES = torch.zeros(4, 3, 2, 2, dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 1, 0])


def small(images=IMAGES, labels=LABELS, **changed):
    split = Split(images, labels)
    return Dataset(**{"name": "small", "train": split, "test": split, "classes": ["a", "b"]} | changed)


def test_the_seed_decides_which_classes_get_one_more():
    labels = torch.arange(10).repeat(30)
    counts = [torch.bincount(labels[stratified(labels, 13, seed=seed)], minlength=10).tolist() for seed in range(20)]
    assert all(sorted(count) == [1] * 7 + [2] * 3 for count in counts)
    assert len(set(map(tuple, counts))) > 10  # of 120


def test_normalization_is_that_of_numpy_and_computed_once():
    images = torch.randint(0, 256, (2_100, 2, 5, 3), dtype=torch.uint8)
    loaded = small(images, torch.zeros(2_100, dtype=torch.int64))
    mean, std = loaded.normalization
    pixels = images.numpy().astype(np.float64) / 255
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=(0, 2, 3)), rtol=1e-12)
    assert loaded.normalization is loaded.normalization
    assert loaded.classes == ("a", "b")


def test_a_subset_is_a_copy_and_to_keeps_uint8():
    images = torch.arange(5 * 12, dtype=torch.uint8).view(5, 3, 2, 2)
    split = Split(images, torch.arange(5))
    part = split.subset(torch.tensor([3, 1]))
    assert part.labels.tolist() == [3, 1]
    assert torch.equal(part.images, images[[3, 1]])
    assert part.images.untyped_storage().nbytes() == 24
    assert split.to("cpu").images.dtype == torch.uint8
    assert len(split) == 5


@REAL
def test_the_real_cifar10_is_what_the_literature_says():
    loaded = load("cifar10")
    assert repr(loaded) == 'Dataset("cifar10", train 50,000, test 10,000, 10 classes)'
    assert loaded.classes[loaded.train.labels[0]] == "frog"
    assert loaded.train.labels.bincount().tolist() == [5_000] * 10
    mean, std = loaded.normalization
    assert [round(value, 4) for value in mean] == [0.4914, 0.4822, 0.4465]
    assert [round(value, 4) for value in std] == [0.247, 0.2435, 0.2616]


@REAL
def test_a_part_of_the_real_set_is_balanced_and_does_not_keep_the_rest_alive(capsys):
    part, other = (load("auto", train_size=1_003, seed=seed, test_size=303) for seed in (2, 3))
    assert capsys.readouterr().out == f"mixlab: CIFAR-10, from {data.cache_path('cifar10')}\n" * 2
    assert torch.equal(part.test.images, other.test.images)  # whatever the seed
    whole = load("cifar10")
    for split, full, size, seed in ((part.train, whole.train, 1_003, 2), (part.test, whole.test, 303, 0)):
        chosen = stratified(full.labels, size, seed=seed)
        assert torch.equal(split.images, full.images[chosen])
        assert torch.equal(split.labels, full.labels[chosen])
        assert set(split.labels.bincount().tolist()) == {size // 10, size // 10 + 1}
        assert split.images.untyped_storage().nbytes() == size * 3_072


@REAL
def test_writing_into_a_loaded_set_does_not_reach_the_cache():
    first = load("cifar10").test.images
    before = int(first[0, 0, 0, 0])
    first[0, 0, 0, 0] = 255 - before
    assert int(load("cifar10").test.images[0, 0, 0, 0]) == before


def test_the_cache_lies_where_root_then_the_environment_then_the_platform_say(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLAB_DATA", str(tmp_path / "env"))
    assert data.cache_path("cifar100", tmp_path) == tmp_path / "cifar100.safetensors"
    assert data.cache_path("cifar10") == tmp_path / "env" / "cifar10.safetensors"
    assert not data.is_cached("cifar10")
    monkeypatch.delenv("MIXLAB_DATA")
    assert data.cache_path("cifar10").parent.name == "mixlab"


test_wrong_arguments_are_named_before_anything_is_done = each_refused(
    (lambda: load("cifar"), "name .*'cifar10', 'cifar100', 'shapes', 'auto', got 'cifar'; did you mean 'cifar10'"),
    (lambda: load("cifar100", 99), "train_size .* from 100 to 50000, got 99"),
    (lambda: load("shapes", test_size=501), "test_size .* from 10 to 500, got 501"),
    (lambda: load("cifar10", difficulty=0.3), "difficulty .* 'shapes' .*got difficulty=0.3 with name='cifar10'"),
    (lambda: load("auto", label_noise=0.3), "label_noise .* 'shapes' .* got label_noise=0.3 with name='auto'"),
    (lambda: load("shapes", source="here"), "source .* 'cifar10' .* got source='here' with name='shapes'"),
    (lambda: load("cifar10", source="/no/where"), "source .* cifar-10-python.tar.gz, .* got '/no/where'"),
    (lambda: load("/no/where"), "name must be a folder of class .*'/no/where', where there is no folder"),
    (lambda: load(Path("shapes")), "name must be a folder of class folders, got 'shapes'"),
    (lambda: load("shapes", image_size=8), "image_size .* a folder alone, got image_size=8 with name='shapes'"),
    (lambda: data.cache_path("shapes"), "name .* 'cifar10', 'cifar100', got 'shapes'"),
    (lambda: Split(IMAGES.float(), LABELS), r"images .* uint8 .* got a float32 tensor of shape \[4, 3, 2, 2\]"),
    (lambda: Split(IMAGES[0], LABELS), r"images .* \[N, channels, height, width\], got .* \[3, 2, 2\]"),
    (lambda: Split(IMAGES, LABELS[:3]), "labels .* each of the 4 examples, got 3 labels"),
    (lambda: small(classes=("only",)), "train.labels .* from 0 to 0, got labels from 0 to 1"),
    (lambda: small(train=None), "train must be a Split, got None"),
    (lambda: small(classes=("a", "a")), r"classes must be a tuple of different texts, got \('a', 'a'\)"),
    (lambda: small(classes=(1, 2)), r"classes must be a tuple of different texts, got \(1, 2\)"),
)


def test_what_is_computed_of_images_follows_what_torch_writes_into_them():
    loaded = load("shapes", train_size=20, test_size=10)
    digest, normalization = loaded.digest, loaded.normalization
    assert loaded.digest is digest
    loaded.train.images[0].fill_(255)
    loaded.test.labels[0] = (loaded.test.labels[0] + 1) % 10
    fresh = Dataset(loaded.name, loaded.train, loaded.test, loaded.classes)
    assert loaded.digest == fresh.digest != digest
    assert loaded.normalization == fresh.normalization != normalization


def test_images_that_were_made_in_inference_mode_are_as_good():
    with torch.inference_mode():
        loaded = load("shapes", train_size=20, test_size=10)
    same = load("shapes", train_size=20, test_size=10)
    assert (loaded.digest, loaded.normalization) == (same.digest, same.normalization)
