"""`pneumo data`."""

from pneumo_utils.cli.common import flag


def add_commands(commands) -> None:
    """Adds the command of this module."""
    parser = commands.add_parser(
        "data", help="get and describe the data", description="Get and describe the data."
    )
    actions = parser.add_subparsers(required=True, metavar="action")
    download = actions.add_parser(
        "download", help="fetch films: ChestXRay2017, 1.2 GB, unless told otherwise"
    )
    sources = ("chestxray2017", "pneumoniamnist")
    download.add_argument("source", nargs="?", default=sources[0], choices=sources)
    flag(download, "image_size", type=int, default=64, help="of pneumoniamnist: 28, 64, 128 or 224")
    download.set_defaults(run=_data_download)
    info = actions.add_parser("info", help="say which data is taken, and count its films")
    flag(info, "data", default="auto", help="auto, a source or a folder")
    info.set_defaults(run=_data_info)


def _data_download(arguments) -> None:
    from pneumo_utils.config import default_folders

    if arguments.source == "pneumoniamnist":
        from pneumo_utils.data import pneumoniamnist

        folder = default_folders().data / "medmnist"
        pneumoniamnist.download(folder, arguments.image_size)
    else:
        from pneumo_utils.data.download import download_chestxray2017

        folder = download_chestxray2017(default_folders().data)
    print(f"The films are in {folder}")


def _data_info(arguments) -> None:
    from pneumo_utils.config import FAST_IMAGE_SIZE
    from pneumo_utils.data.sources import choose_data, load_split

    choice = choose_data(arguments.data)
    print(choice.sentence)
    for split in ("train", "val", "test"):
        dataset = load_split(choice, split, image_size=FAST_IMAGE_SIZE)
        counts = ", ".join(f"{count} {name}" for name, count in dataset.class_counts().items())
        print(f"{split}: {len(dataset)} films ({counts}), {len(set(dataset.patients))} patients")
