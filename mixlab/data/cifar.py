"""The facts of CIFAR-10 and CIFAR-100: classes, sizes, digests, and where the official files and the hub's copy lie."""

from dataclasses import dataclass

TENSORS = ("train_images", "train_labels", "test_images", "test_labels")
"""The tensors of a set, in the order in which their bytes are digested."""


@dataclass(frozen=True, kw_only=True)
class SetSpec:
    """One set of labeled images 3 x 32 x 32, and the places that hold it.

    `sha256` is taken over the four tensors' bytes (`TENSORS`, labels as uint8) in the official order: whatever a
    source delivers is compared with it, so every source is as good as another.
    """

    name: str
    title: str
    sha256: str
    classes: tuple[str, ...]
    train_count: int
    test_count: int
    archive: str
    folder: str  # as the archive unpacks
    train_files: tuple[str, ...]  # in the official order
    test_files: tuple[str, ...]
    label_key: str  # in an official batch
    url: str
    download_bytes: int  # of the archive; the hub's files are no larger
    train_blocks: tuple[str, ...]  # how the digest of each training file's images begins, for copies in another order
    hub_repo: str
    hub_train: str
    hub_test: str
    hub_label: str

    @property
    def shapes(self) -> dict[str, list[int]]:
        """The shape of each of the four uint8 tensors."""
        return {
            "train_images": [self.train_count, 3, 32, 32],
            "train_labels": [self.train_count],
            "test_images": [self.test_count, 3, 32, 32],
            "test_labels": [self.test_count],
        }

    @property
    def cache_bytes(self) -> int:
        """Bytes of the four tensors, which a cache file exceeds by its header."""
        return (self.train_count + self.test_count) * (3 * 32 * 32 + 1)


CIFAR10 = SetSpec(
    name="cifar10",
    title="CIFAR-10",
    sha256="32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    train_count=50_000,
    test_count=10_000,
    archive="cifar-10-python.tar.gz",
    folder="cifar-10-batches-py",
    train_files=("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"),
    test_files=("test_batch",),
    label_key="labels",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    download_bytes=170_498_071,
    train_blocks=("a50e8b48728e1667", "0b825e5592c3b72e", "c6ee1dd4601a69ec", "1f6b6c799cff375a", "58e3bbf713e28357"),
    hub_repo="uoft-cs/cifar10",
    hub_train="plain_text/train-00000-of-00001.parquet",
    hub_test="plain_text/test-00000-of-00001.parquet",
    hub_label="label",
)

CIFAR100 = SetSpec(
    name="cifar100",
    title="CIFAR-100",
    sha256="b41e29387b788506ced6a48cea527c65d6387e1598add60c84d6995abf0b21fa",
    classes=tuple(
        """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
        castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
        elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
        man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
        pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
        tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm""".split()  # noqa: SIM905 (a list would take a hundred lines)
    ),
    train_count=50_000,
    test_count=10_000,
    archive="cifar-100-python.tar.gz",
    folder="cifar-100-python",
    train_files=("train",),
    test_files=("test",),
    label_key="fine_labels",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    download_bytes=169_001_437,
    train_blocks=("de64658905c6b161",),
    hub_repo="uoft-cs/cifar100",
    hub_train="cifar100/train-00000-of-00001.parquet",
    hub_test="cifar100/test-00000-of-00001.parquet",
    hub_label="fine_label",
)

SETS = {spec.name: spec for spec in (CIFAR10, CIFAR100)}
