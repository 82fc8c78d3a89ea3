"""Omniglot from synthetic arrays, PNG files and zip files."""

from __future__ import annotations

import functools
import hashlib
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from keras_metaloss.datasets import _omniglot_files, omniglot

# Real names that cover train, val and test of the "vinyals" split.
_CHARACTERS = (
    ("background", "Greek", "character01"),
    ("background", "Greek", "character02"),
    ("background", "Hebrew", "character01"),
    ("evaluation", "Angelic", "character01"),
    ("evaluation", "Gurmukhi", "character41"),
    ("evaluation", "Gurmukhi", "character42"),
    ("evaluation", "Tibetan", "character01"),
)
_VINYALS = ("train", "train", "val", "train", "train", "test", "test")
_DRAWINGS = 3

# Number of characters of each alphabet, sorted by name.
_BACKGROUND = {
    "Alphabet_of_the_Magi": 20,
    "Anglo-Saxon_Futhorc": 29,
    "Arcadian": 26,
    "Armenian": 41,
    "Asomtavruli_(Georgian)": 40,
    "Balinese": 24,
    "Bengali": 46,
    "Blackfoot_(Canadian_Aboriginal_Syllabics)": 14,
    "Braille": 26,
    "Burmese_(Myanmar)": 34,
    "Cyrillic": 33,
    "Early_Aramaic": 22,
    "Futurama": 26,
    "Grantha": 43,
    "Greek": 24,
    "Gujarati": 48,
    "Hebrew": 22,
    "Inuktitut_(Canadian_Aboriginal_Syllabics)": 16,
    "Japanese_(hiragana)": 52,
    "Japanese_(katakana)": 47,
    "Korean": 40,
    "Latin": 26,
    "Malay_(Jawi_-_Arabic)": 40,
    "Mkhedruli_(Georgian)": 41,
    "N_Ko": 33,
    "Ojibwe_(Canadian_Aboriginal_Syllabics)": 14,
    "Sanskrit": 42,
    "Syriac_(Estrangelo)": 23,
    "Tagalog": 17,
    "Tifinagh": 55,
}
_EVALUATION = {
    "Angelic": 20,
    "Atemayar_Qelisayer": 26,
    "Atlantean": 26,
    "Aurek-Besh": 26,
    "Avesta": 26,
    "Ge_ez": 26,
    "Glagolitic": 45,
    "Gurmukhi": 45,
    "Kannada": 41,
    "Keble": 26,
    "Malayalam": 47,
    "Manipuri": 40,
    "Mongolian": 30,
    "Old_Church_Slavonic_(Cyrillic)": 45,
    "Oriya": 46,
    "Sylheti": 28,
    "Syriac_(Serto)": 23,
    "Tengwar": 25,
    "Tibetan": 42,
    "ULOG": 26,
}


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("KERAS_METALOSS_DATA", raising=False)


@pytest.fixture(scope="module")
def strokes():
    """Ink pixels: bool `[characters, drawings, 105, 105]`."""
    generator = np.random.default_rng(0)
    return generator.random((len(_CHARACTERS), _DRAWINGS, 105, 105)) < 0.2


@pytest.fixture(scope="module")
def images(strokes):
    """Strokes at 28x28: each pixel is split into 4x4, and 15x15 of these averaged."""
    fine = strokes.repeat(4, axis=2).repeat(4, axis=3)
    means = fine.reshape(len(strokes), _DRAWINGS, 28, 15, 28, 15).mean(axis=(3, 5))
    return np.rint(255 * means).astype("uint8")


@pytest.fixture(scope="module")
def png_folder(tmp_path_factory, strokes):
    """The authors' layout: 1-bit PNG files, black ink on white."""
    root = tmp_path_factory.mktemp("png")
    for number, (part, alphabet, character) in enumerate(_CHARACTERS):
        folder = root / f"images_{part}" / alphabet / character
        folder.mkdir(parents=True)
        for drawing in range(_DRAWINGS):
            picture = Image.fromarray(~strokes[number, drawing])
            assert picture.mode == "1"
            picture.save(folder / f"{number:04}_{drawing + 1:02}.png")
    return root


def _arrays(images):
    parts, alphabets, characters = zip(*_CHARACTERS, strict=True)
    return {
        "images": images,
        "alphabet": np.array(alphabets),
        "character": np.array(characters),
        "split": np.array(parts),
        "vinyals_split": np.array(_VINYALS),
    }


@pytest.fixture
def npz(tmp_path, images):
    path = tmp_path / "omniglot.npz"
    np.savez(path, **_arrays(images))
    return path


def _check(splits, images, chosen):
    """Compares with `images` of the classes that `chosen` lists for each split."""
    for (x, y), classes in zip(splits, chosen, strict=True):
        assert x.dtype == np.uint8
        assert y.dtype == np.int32
        np.testing.assert_array_equal(x[..., 0], images[classes].reshape(-1, 28, 28))
        assert x.shape[1:] == (28, 28, 1)
        np.testing.assert_array_equal(y, np.arange(len(y)) // _DRAWINGS)


_CHOSEN = {
    "vinyals": ([0, 1, 3, 4], [2], [5, 6]),
    "background": ([0, 1], [2], [3, 4, 5, 6]),
}


@pytest.mark.parametrize("split", ["vinyals", "background"])
class TestFormats:
    def test_npz(self, npz, images, split):
        _check(omniglot.load_data(npz, split=split), images, _CHOSEN[split])

    def test_folder_of_npz(self, npz, images, split):
        _check(omniglot.load_data(str(npz.parent), split), images, _CHOSEN[split])

    def test_folder_of_png(self, png_folder, images, split):
        (png_folder / "images_background" / "README.txt").touch()
        _check(omniglot.load_data(png_folder, split), images, _CHOSEN[split])

    def test_zips(self, zips, images, split, monkeypatch):
        calls = []

        def get_file(**arguments):
            calls.append(arguments)
            return str(zips / arguments["origin"].rsplit("/", 1)[1])

        monkeypatch.setattr(keras.utils, "get_file", get_file)
        _check(omniglot.load_data(split=split), images, _CHOSEN[split])
        assert [arguments["origin"] for arguments in calls] == [
            "https://github.com/brendenlake/omniglot/raw/master/python/images_"
            f"{part}.zip"
            for part in ("background", "evaluation")
        ]
        for arguments in calls:
            assert arguments["hash_algorithm"] == "sha256"
            assert len(bytes.fromhex(arguments["file_hash"])) == 32


@pytest.fixture(scope="module")
def zips(tmp_path_factory, png_folder):
    folder = tmp_path_factory.mktemp("zips")
    for part in ("background", "evaluation"):
        with zipfile.ZipFile(folder / f"images_{part}.zip", "w") as archive:
            archive.writestr(
                "__MACOSX/Greek/character01/._0000_01.png", b"not an image"
            )
            for file in sorted(png_folder.glob(f"images_{part}/**/*")):
                archive.write(file, file.relative_to(png_folder))
    return folder


class TestDownload:
    @pytest.fixture(autouse=True)
    def local(self, zips, tmp_path, monkeypatch):
        """Downloads from a local folder to a temporary folder."""
        get_file = functools.partial(keras.utils.get_file, cache_dir=tmp_path)
        monkeypatch.setattr(keras.utils, "get_file", get_file)
        monkeypatch.setattr(omniglot, "_ORIGIN", f"{zips.as_uri()}/")

    def test_correct_hash_is_accepted(self, zips, images, tmp_path, monkeypatch):
        hashes = {
            part: hashlib.sha256((zips / f"images_{part}.zip").read_bytes()).hexdigest()
            for part in ("background", "evaluation")
        }
        monkeypatch.setattr(omniglot, "_HASHES", hashes)
        _check(omniglot.load_data(), images, _CHOSEN["vinyals"])
        kept = sorted(path.name for path in tmp_path.rglob("*.zip"))
        assert kept == ["images_background.zip", "images_evaluation.zip"]
        monkeypatch.setattr(omniglot, "_ORIGIN", "file:///missing/")
        _check(omniglot.load_data(), images, _CHOSEN["vinyals"])

    def test_wrong_hash_raises(self):
        with pytest.raises(ValueError, match="sha256 file hash does not match"):
            omniglot.load_data()


class TestVariable:
    def test_file_and_folder(self, npz, images, monkeypatch):
        for place in (npz, npz.parent):
            monkeypatch.setenv("KERAS_METALOSS_DATA", str(place))
            _check(omniglot.load_data(), images, _CHOSEN["vinyals"])

    def test_path_takes_precedence(self, npz, images, monkeypatch, tmp_path):
        monkeypatch.setenv("KERAS_METALOSS_DATA", str(tmp_path / "nothing"))
        _check(omniglot.load_data(npz), images, _CHOSEN["vinyals"])

    def test_missing_data_raises(self, monkeypatch, tmp_path):
        monkeypatch.setenv("KERAS_METALOSS_DATA", str(tmp_path))
        with pytest.raises(
            ValueError,
            match="environment variable `KERAS_METALOSS_DATA`.*"
            "Received: KERAS_METALOSS_DATA='",
        ):
            omniglot.load_data()


class TestSplits:
    def test_vinyals_counts(self):
        found = [
            _omniglot_files._vinyals_split(part, alphabet, f"character{number:02}")
            for part, alphabets in (
                ("background", _BACKGROUND),
                ("evaluation", _EVALUATION),
            )
            for alphabet, count in alphabets.items()
            for number in range(1, count + 1)
        ]
        assert len(found) == 1623
        counts = {name: found.count(name) for name in ("train", "val", "test")}
        assert counts == {"train": 1028, "val": 172, "test": 423}
        # The usual 1,200 training and validation characters come first by name.
        assert set(found[:1200]) == {"train", "val"}
        # The number in the documentation of `load_data`.
        assert found[sum(_BACKGROUND.values()) :].count("train") == 236

    def test_vinyals_split_of_each_test_character(self):
        found = [_omniglot_files._vinyals_split(*key) for key in _CHARACTERS]
        assert tuple(found) == _VINYALS

    def test_unknown_split_raises(self, npz):
        with pytest.raises(ValueError, match="`split`.*Received: split='lake'"):
            omniglot.load_data(npz, split="lake")


class TestInvalidFiles:
    def test_missing_path_raises(self, tmp_path):
        path = tmp_path / "nothing.npz"
        with pytest.raises(
            ValueError, match="argument `path`.*Received: path='.*nothing"
        ):
            omniglot.load_data(path)

    def test_missing_array_raises(self, tmp_path, images):
        arrays = _arrays(images)
        del arrays["vinyals_split"]
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(ValueError, match=r"missing \['vinyals_split'\]"):
            omniglot.load_data(tmp_path / "a.npz")

    @pytest.mark.parametrize(
        "change",
        [
            lambda images: images / 255,
            lambda images: images[:, 0],
            lambda images: images[..., :27],
        ],
    )
    def test_invalid_images_raise(self, tmp_path, images, change):
        np.savez(tmp_path / "a.npz", **{**_arrays(images), "images": change(images)})
        with pytest.raises(ValueError, match="`images`.*Received: (uint8|float64) of"):
            omniglot.load_data(tmp_path / "a.npz")

    @pytest.mark.parametrize("name", ["split", "vinyals_split"])
    def test_invalid_split_names_raise(self, tmp_path, images, name):
        arrays = _arrays(images)
        arrays[name] = np.where(arrays[name] == arrays[name][0], "other", arrays[name])
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(ValueError, match=f"`{name}`.*Received: .*'other'"):
            omniglot.load_data(tmp_path / "a.npz")

    def test_unequal_lengths_raise(self, tmp_path, images):
        np.savez(tmp_path / "a.npz", **{**_arrays(images), "images": images[1:]})
        with pytest.raises(ValueError, match="'images': 6, 'alphabet': 7"):
            omniglot.load_data(tmp_path / "a.npz")

    def _folder(self, root, drawings_of_second=1, size=105):
        for part, drawings in (("background", 1), ("evaluation", drawings_of_second)):
            folder = root / f"images_{part}" / "Greek" / "character01"
            folder.mkdir(parents=True)
            for drawing in range(drawings):
                Image.new("1", (size, size)).save(folder / f"0001_{drawing:02}.png")
        return root

    @pytest.mark.parametrize("drawings", [0, 2])
    def test_incomplete_folder_raises(self, tmp_path, drawings):
        self._folder(tmp_path, drawings_of_second=drawings)
        with pytest.raises(ValueError, match=f"Received: {1 + drawings} such files"):
            omniglot.load_data(tmp_path)

    def test_wrong_image_size_raises(self, tmp_path):
        self._folder(tmp_path, size=28)
        with pytest.raises(ValueError, match="Expected PNG images of 105x105 pixels"):
            omniglot.load_data(tmp_path)

    def test_undecodable_image_raises(self, tmp_path):
        self._folder(tmp_path)
        next(tmp_path.rglob("*.png")).write_bytes(b"not an image")
        with pytest.raises(ValueError, match="Expected PNG images of 105x105 pixels"):
            omniglot.load_data(tmp_path)
