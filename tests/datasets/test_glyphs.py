"""Glyphs: characters, classes, drawings and cache files."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.path import Path as Outline
from PIL import Image, ImageDraw, ImageFont

from keras_metaloss.datasets import (
    _glyph_classes,
    _glyph_drawings,
    _glyph_outlines,
    glyphs,
)


@pytest.fixture(scope="module")
def typefaces():
    return _glyph_outlines.load_typefaces()


@pytest.fixture(scope="module")
def found(typefaces):
    return _glyph_classes.candidates(typefaces)


def _only(found, characters):
    return {character: found[character] for character in characters}


class TestOutlines:
    def test_coverage_of_a_rectangle_is_exact(self):
        # From x = 1.5 to 4 and from y = 2 to 4.25; y is counted from the bottom.
        corners = [(1.5, 2), (4, 2), (4, 4.25), (1.5, 4.25), (1.5, 2)]
        expected = np.zeros((6, 6))
        expected[2:4, 1:4] = 1  # rows are counted from the top
        expected[1, 1:4] = 0.25
        expected[:, 1] /= 2
        images = _glyph_outlines.rasterize([None, Outline(corners)], 6)
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images[0], 0)
        np.testing.assert_allclose(images[1] / 255, expected, atol=2 / 255)

    @pytest.mark.parametrize("character", ["g", "Ж", "ß", "ა", "≠"])
    def test_rendering_matches_pillow(self, typefaces, character):
        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        font = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), 400)
        picture = Image.new("L", (800, 800))
        ImageDraw.Draw(picture).text((200, 150), character, fill=255, font=font)
        picture = picture.crop(picture.getbbox())

        path = _glyph_outlines.outline(typefaces[0], character)
        extent = max(picture.size)
        vertices = _glyph_outlines.fit(path.vertices, extent)
        fitted = Outline(vertices - vertices.min(axis=0), path.codes)
        ours = _glyph_outlines.rasterize([fitted], extent)[0]
        ours = ours[extent - picture.height :, : picture.width]
        difference = np.abs(ours / 255 - np.asarray(picture) / 255)
        assert difference.mean() < 0.02

    def test_missing_and_blank_characters_have_no_outline(self, typefaces):
        assert _glyph_outlines.outline(typefaces[0], " ") is None
        assert _glyph_outlines.outline(typefaces[0], "漢") is None

    def test_no_candidate_has_the_missing_glyph_outline(self, typefaces, found):
        for position, typeface in enumerate(typefaces):
            typeface.load_glyph(0, flags=_glyph_outlines._UNHINTED)
            missing, _ = typeface.get_path()
            for outlines in found.values():
                path = outlines[position]
                assert path is None or not (
                    len(path.vertices) == len(missing)
                    and np.allclose(path.vertices[:-1], missing[:-1])
                )


class TestClasses:
    def test_every_candidate_is_in_at_least_eight_typefaces(self, found):
        assert len(found) > 2000
        for outlines in found.values():
            assert len(outlines) == 16
            assert sum(path is not None for path in outlines) >= 8

    def test_unwanted_characters_are_excluded(self, found):
        # Tab, space, combining acute, modifier h, acute accent, Kelvin sign (K),
        # superscript 2, Braille, arrow, box drawing, block, shade, U+FFFD.
        for character in "\t \u0301ʰ´\u212a²⠿→┼█░\ufffd":
            assert character not in found

    def test_wanted_characters_are_included(self, found):
        assert set("Aa9!éΩжაչກ≤♥") <= set(found)

    @pytest.mark.parametrize(
        ("character", "script"),
        [
            ("A", "LATIN"),
            ("é", "LATIN"),
            ("Ω", "GREEK"),
            ("ж", "CYRILLIC"),
            ("ა", "GEORGIAN"),
            ("չ", "ARMENIAN"),
            ("ກ", "LAO"),
            ("9", "COMMON"),
            ("≤", "COMMON"),
            ("՞", "COMMON"),  # ARMENIAN QUESTION MARK is not a letter
        ],
    )
    def test_script(self, character, script):
        assert _glyph_classes.script(character) == script

    @pytest.mark.parametrize(
        "same", ["AΑА", "BΒВв", "CcСс", "OoΟοОоՕօ", "PΡР", "Vv", "gց", "ÞϷ", "ΓГг"]
    )
    def test_look_alikes_form_one_class(self, found, same):
        assert _glyph_classes.leaders(_only(found, same)) == [same[0]]

    @pytest.mark.parametrize("apart", ["EFGCOQPR", "Il1", "ÀÁ", "un", "ЖШЩЦ", "≤≥<"])
    def test_different_characters_stay_separate(self, found, apart):
        assert _glyph_classes.leaders(_only(found, apart)) == list(apart)

    def test_ascii_is_first_and_scripts_are_in_order(self, found):
        order = {character: index for index, character in enumerate(found)}
        assert order["3"] < order["É"] < order["Ω"] < order["Б"] < order["≤"]

    def test_look_alike_of_a_look_alike_can_lead(self, monkeypatch):
        # a ~ b ~ c, but not a ~ c: "c" does not look like "a", the only leader.
        alike = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
        monkeypatch.setattr(_glyph_classes, "look_alikes", lambda characters: alike)
        assert _glyph_classes.leaders({"a": [], "b": [], "c": []}) == ["a", "c"]

    def test_only_common_typefaces_are_counted(self):
        square = Outline([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)])
        flat = Outline([(0, 0), (1, 0), (1, 0.2), (0, 0.2), (0, 0)])
        same_in_half = {"a": [square, square], "b": [square, flat]}
        assert _glyph_classes.look_alikes(same_in_half)[0, 1]
        same_in_a_third = {"a": [square] * 3, "b": [square, flat, flat]}
        assert not _glyph_classes.look_alikes(same_in_a_third)[0, 1]
        same_in_the_only_common = {"a": [square, None], "b": [square, flat]}
        assert _glyph_classes.look_alikes(same_in_the_only_common)[0, 1]
        none_common = {"a": [square, None], "b": [None, square]}
        assert not _glyph_classes.look_alikes(none_common).any()

    def test_split_is_by_script(self):
        splits = _glyph_classes.split(list("≤ჰΩaЖ9չກA"))
        assert splits == {
            "train": list("9Aa≤"),
            "val": ["Ω"],
            "test": list("ЖչກჰA"[:-1]),
        }


class TestDrawings:
    def _draw(self, found, character="ж", drawings=20, size=28, seed=0):
        return _glyph_drawings.draw(character, found[character], drawings, size, seed)

    def test_all_drawings_differ(self, found):
        images = self._draw(found, drawings=40)
        assert images.shape == (40, 28, 28)
        assert images.dtype == np.uint8
        assert len(np.unique(images.reshape(40, -1), axis=0)) == 40

    def test_deterministic_and_seeded(self, found):
        first = self._draw(found)
        np.testing.assert_array_equal(self._draw(found), first)
        assert not np.array_equal(self._draw(found, seed=1), first)

    def test_typefaces_are_used_in_turn(self, found):
        # With twice as many drawings as typefaces, each typeface is used twice.
        outlines = [path for path in found["ж"] if path is not None]
        taken = []
        original = _glyph_drawings._deform
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                _glyph_drawings,
                "_deform",
                lambda path, *rest: taken.append(id(path)) or original(path, *rest),
            )
            self._draw(found, drawings=2 * len(outlines))
        assert sorted(taken) == sorted(2 * [id(path) for path in outlines])

    @pytest.mark.parametrize("size", [28, 64])
    @pytest.mark.parametrize("character", "ж.—|Q")
    def test_ink_is_large_and_not_cut_off(self, found, character, size):
        images = self._draw(found, character, size=size) > 0
        for image in images:
            rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
            extent = max(np.ptp(rows), np.ptp(columns)) + 1
            assert 0.6 * size < extent <= 0.9 * size + 2
        # The margin is at least a tenth of the size minus the shift of 5 %.
        assert not images[:, [0, -1]].all(axis=(0, 2)).any()

    def test_ink_is_255_and_background_is_0(self, found):
        image = self._draw(found, "■", drawings=1, size=64)[0]
        assert image[32, 32] == 255
        assert image[0, 0] == 0


@pytest.fixture
def few(monkeypatch, found):
    """Restricts `load_data` to 4 training classes, 1 validation and 2 test classes."""
    subset = _only(found, "aΩжbჰ9AΑ")
    monkeypatch.setattr(_glyph_classes, "candidates", lambda typefaces: subset)
    monkeypatch.setattr(_glyph_outlines, "load_typefaces", list)


class TestLoadData:
    def test_shapes_and_labels(self, few, tmp_path):
        splits = glyphs.load_data(size=16, drawings=3, cache_dir=tmp_path)
        for (x, y), classes in zip(splits, (4, 1, 2), strict=True):
            assert x.shape == (3 * classes, 16, 16, 1)
            assert x.dtype == np.uint8
            assert y.dtype == np.int32
            np.testing.assert_array_equal(y, np.arange(3 * classes) // 3)

    def test_classes_are_sorted_by_code_point(self, few, found, tmp_path):
        (x, y), _, _ = glyphs.load_data(drawings=2, cache_dir=tmp_path, seed=7)
        for label, character in enumerate("9Aab"):
            expected = _glyph_drawings.draw(character, found[character], 2, 28, 7)
            np.testing.assert_array_equal(x[y == label, ..., 0], expected)

    def test_rendering_is_announced_only_once(self, few, tmp_path, capfd):
        first = glyphs.load_data(drawings=2, cache_dir=tmp_path)
        output = capfd.readouterr().out
        start = "Rendering the glyphs dataset once; it is cached in "
        assert output.startswith(start)
        assert str(tmp_path) in output
        again = glyphs.load_data(drawings=2, cache_dir=tmp_path)
        assert capfd.readouterr().out == ""
        for (x, y), (x_again, y_again) in zip(first, again, strict=True):
            np.testing.assert_array_equal(x, x_again)
            np.testing.assert_array_equal(y, y_again)

    def test_cache_is_read_without_rendering(self, few, tmp_path, monkeypatch):
        glyphs.load_data(drawings=2, cache_dir=tmp_path)
        monkeypatch.setattr(glyphs, "_render", None)
        glyphs.load_data(drawings=2, cache_dir=tmp_path)
        for other in ({"size": 16}, {"drawings": 3}, {"seed": 1}):
            with pytest.raises(TypeError, match="not callable"):
                glyphs.load_data(**{"drawings": 2, "cache_dir": tmp_path, **other})

    def test_cache_is_in_keras_home(self, few, tmp_path, monkeypatch):
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        glyphs.load_data(drawings=1)
        folder = tmp_path / "datasets" / "keras_metaloss"
        assert [path.suffix for path in folder.iterdir()] == [".npz"]

    def test_interruption_leaves_no_files(self, few, tmp_path, monkeypatch):
        def write_half_and_stop(file, **arrays):
            file.write(b"PK half of a file")
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(np, "savez_compressed", write_half_and_stop)
            with pytest.raises(KeyboardInterrupt):
                glyphs.load_data(drawings=1, cache_dir=tmp_path)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        glyphs.load_data(drawings=1, cache_dir=tmp_path)

    @pytest.mark.parametrize("kept", [0, 100, 0.9])
    def test_damaged_cache_is_rendered_again(self, few, tmp_path, kept, capsys):
        expected = glyphs.load_data(drawings=1, cache_dir=tmp_path)
        (path,) = tmp_path.rglob("*.npz")
        whole = path.read_bytes()
        path.write_bytes(whole[: kept if kept != 0.9 else int(0.9 * len(whole))])
        again = glyphs.load_data(drawings=1, cache_dir=tmp_path)
        assert "the cache cannot be read" in capsys.readouterr().out
        np.testing.assert_array_equal(again[2][0], expected[2][0])
        assert path.read_bytes()[:100] == whole[:100]

    @pytest.mark.parametrize(
        ("argument", "value"),
        [
            ("size", 0),
            ("size", 28.0),
            ("drawings", 0),
            ("drawings", True),
            ("seed", -1),
            ("seed", None),
        ],
    )
    def test_invalid_arguments(self, argument, value, tmp_path):
        with pytest.raises(
            ValueError, match=f"`{argument}`.*Received: {argument}={value}"
        ):
            glyphs.load_data(**{"cache_dir": tmp_path, argument: value})
        assert not list(tmp_path.iterdir())


def _nearest_neighbor_accuracy(images, tasks=300, ways=5, queries=15):
    """Computes the 1-shot accuracy of a nearest-neighbor classifier on pixels."""
    generator = np.random.default_rng(0)
    vectors = images.reshape(*images.shape[:2], -1) / 255.0
    right = 0
    for _ in range(tasks):
        chosen = generator.choice(len(vectors), ways, replace=False)
        picked = np.stack(
            [generator.permutation(v)[: 1 + queries] for v in vectors[chosen]]
        )
        support, query = picked[:, 0], picked[:, 1:]
        distances = ((query[:, :, None] - support) ** 2).sum(-1)
        right += (distances.argmin(-1) == np.arange(ways)[:, None]).sum()
    return right / (tasks * ways * queries)


@pytest.mark.slow
def test_full_dataset(tmp_path, monkeypatch):
    splits = {}
    split = _glyph_classes.split
    monkeypatch.setattr(
        _glyph_classes, "split", lambda leaders: splits.update(split(leaders)) or splits
    )
    images = {
        name: x.reshape(-1, 20, 28, 28)
        for name, (x, _) in zip(
            ("train", "val", "test"), glyphs.load_data(cache_dir=tmp_path), strict=True
        )
    }
    counts = {name: len(part) for name, part in images.items()}
    assert counts == {name: len(part) for name, part in splits.items()}
    assert sum(counts.values()) >= 1500
    assert counts["train"] >= 0.6 * sum(counts.values())
    assert counts["val"] >= 100
    assert counts["test"] >= 250

    characters = [character for part in splits.values() for character in part]
    assert len(set(characters)) == len(characters)
    scripts = {
        name: {unicodedata.name(c).split()[0] for c in part if c.isalpha()}
        for name, part in splits.items()
    }
    assert scripts["val"] == {"GREEK"}
    assert scripts["test"] == {"CYRILLIC", "ARMENIAN", "GEORGIAN", "LAO"}
    assert not scripts["train"] & (scripts["val"] | scripts["test"])

    pictures = np.concatenate([part.reshape(-1, 784) for part in images.values()])
    assert len(np.unique(pictures, axis=0)) == len(pictures)
    assert 0.5 < _nearest_neighbor_accuracy(images["test"]) < 0.75
