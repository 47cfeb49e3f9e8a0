"""Files of a checkpoint: read within limits and without leaving the folder, written whole or not at all."""

import json
import os
import pathlib
import secrets

from skml.base import require_memory

LARGEST_TEXT = 2**26  # bytes; those of models in use have some millions
_PER_CHARACTER = (
    48  # bytes that an object of JSON takes at most for each of its characters: lists of one list are largest
)


def as_folder(folder):
    """Return the path of a folder.

    Parameters
    ----------
    folder : str or path-like
        As the user gave it.

    Returns
    -------
    folder : pathlib.Path
        It need not exist.

    Raises
    ------
    TypeError
        If it is no path.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise TypeError(f"folder must be the path of a folder, a string or path-like, got {folder!r}.")
    return pathlib.Path(folder)


def read_text(path):
    """Return the text of a file of a bearable size.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    text : str
        Of UTF-8.

    Raises
    ------
    ValueError
        If it is no regular file, too large or not UTF-8.
    OSError
        If it cannot be read.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{os.fspath(path)} is no regular file.")
    with open(path, "rb") as file:
        data = file.read(LARGEST_TEXT + 1)
    if len(data) > LARGEST_TEXT:
        raise ValueError(f"{os.fspath(path)} has more than {LARGEST_TEXT} bytes.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)} is not UTF-8: {error}.") from error


def parse_json(text):
    """Return what a JSON text holds.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    content : object
        In which no object has a name twice.

    Raises
    ------
    ValueError
        If it is no JSON, nested too deeply, or a name occurs twice.
    MemoryError
        If what it holds might need more memory than is free.
    """
    require_memory(_PER_CHARACTER * len(text), f"A JSON text of {len(text):,} characters")
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except RecursionError as error:
        raise ValueError("it is nested too deeply.") from error


def _without_doubles(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice.")
    return found


def read_object(path):
    """Return the JSON object that a file holds.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    content : dict
        The object.

    Raises
    ------
    ValueError
        If it holds anything else.
    OSError
        If it cannot be read.
    """
    text = read_text(path)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} is no JSON that can be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{os.fspath(path)} must hold a JSON object, not {type(content).__name__}.")
    return content


def file_in(folder, name):
    """Return the path of a file in a folder, if it is there.

    Parameters
    ----------
    folder : path-like
        The folder.
    name : str
        Of the file, without any folder.

    Returns
    -------
    path : pathlib.Path or None
        None if there is no such file.

    Raises
    ------
    ValueError
        If the name leads elsewhere, or what is there is a link out of the folder or no regular file. In the layout of
        Hugging Face's cache, links into the folder "blobs" of the same model are as good as files.
    """
    if not name or name in (".", "..") or any(sign in name for sign in "/\\:\0"):
        raise ValueError(f"{name!r} is no name of a file in {os.fspath(folder)}.")
    path = pathlib.Path(folder) / name
    if not os.path.lexists(path):
        return None
    home, target = path.parent.resolve(), _resolved(path)
    cached = home.parent.name == "snapshots" and target.parent == home.parents[1] / "blobs"
    if target.parent != home and not cached:
        raise ValueError(f"{path} is a link that leaves its folder; it is not followed.")
    if not target.is_file():
        raise ValueError(f"{path} is no regular file.")
    return path


def _resolved(path):
    """Return where links lead to."""
    try:
        return path.resolve()
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{path} is a link that leads nowhere: {error}") from error


def write_all(folder, contents):
    """Write files so that each is whole: all are written beside their places first, and then put there.

    Parameters
    ----------
    folder : str or path-like
        Where to; it is made if need be.
    contents : dict of str to (bytes or callable)
        What each file holds, or a function that writes it to a path. They are put in their places in this order.

    Raises
    ------
    OSError
        If they cannot be written; then no temporary file is left.
    """
    folder = as_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(8)
    beside = {name: folder / f"{name}.{mark}" for name in contents}
    try:
        for name, path in beside.items():
            _write_one(path, contents[name])
        for name, path in beside.items():
            os.replace(path, folder / name)
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)


def _write_one(path, content):
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
