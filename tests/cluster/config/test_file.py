"""The configuration reader: precedence, and every mistake at once, placed and explained."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.config.contradictions import contradictions
from cluster.config.file import key_lines, load
from cluster.config.named_files import absent_files
from cluster.config.sections import Config
from cluster.config.sources import ITEM_LISTS, ItemListSource
from cluster.config.text import allowed, field_at, leaves, render, toml_value
from cluster.errors import ConfigError

TEMPLATE = Path(__file__).parents[3] / "deploy" / "templates" / "oskolok.toml"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "oskolok.toml"
    path.write_text(text)
    return path


def complaints(tmp_path: Path, text: str, **more: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), **more)  # type: ignore[arg-type]
    first, *rows = caught.value.message.split("\n")
    assert first == f"oskolok.toml: {len(rows)} error{'s' if len(rows) > 1 else ''}"
    return [" ".join(row.split()) for row in rows]


def test_no_file_and_an_empty_file_are_the_defaults(tmp_path: Path) -> None:
    assert load(None).config == Config() == load(write(tmp_path, "")).config


def test_the_defaults_contradict_nothing() -> None:
    assert list(contradictions(Config())) == []


def test_the_template_shows_every_key_at_its_default() -> None:
    assert TEMPLATE.read_text() == render(Config()), "regenerate it with `oskolok config show --defaults`"
    assert load(TEMPLATE).config == Config()
    shown = set(key_lines(TEMPLATE.read_text()))
    assert set(leaves(Config())) <= shown


def test_a_file_that_shows_a_default_asks_for_nothing(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, "[sources.tops]\nk = 100\nkinds = ['new']\n[sources]\ncold_users = ['new']\n"))
    assert loaded.config.sources.tops.model_fields_set == {"kinds"}
    assert loaded.origins.keys() == {"sources.tops.k", "sources.tops.kinds", "sources.cold_users"}
    assert load(TEMPLATE).config.sources.tops.model_fields_set == set()


def test_precedence_and_origins(tmp_path: Path) -> None:
    path = write(tmp_path, "[cluster]\nn_shards = 8\nn_rankers = 3\nn_routers = 2\n")
    environ = {"OSKOLOK__CLUSTER__N_RANKERS": "5", "OSKOLOK__CLUSTER__N_ROUTERS": "4", "HOME": "/root"}
    loaded = load(path, overrides=["cluster.n_routers=6"], environ=environ)
    assert (loaded.config.cluster.n_shards, loaded.config.cluster.n_rankers, loaded.config.cluster.n_routers) == (8, 5, 6)
    assert loaded.origins == {
        "cluster.n_shards": "line 2",
        "cluster.n_rankers": "OSKOLOK__CLUSTER__N_RANKERS",
        "cluster.n_routers": "--set",
    }


def test_overrides_of_strings_need_no_quotes_and_capitals_find_their_key() -> None:
    config = load(None, overrides=["http.host=0.0.0.0", "cluster.name=42"], environ={"OSKOLOK__SOURCES__ANN__M": "8"}).config
    assert (config.http.host, config.cluster.name, config.sources.ann.M) == ("0.0.0.0", "42", 8)
    for raw, value in (("true", True), ("false", False), ("auto", "auto")):
        assert load(None, overrides=[f"ranker.heavy.enabled={raw}"]).config.ranker.heavy.enabled == value
    assert load(None, overrides=["catalog.number=['price']"]).config.catalog.number == ("price",)


def test_all_mistakes_at_once_with_their_lines(tmp_path: Path) -> None:
    text = """
[cluster]
n_shards = "four"
[sources.ann]
M = 1
recal_target = 0.9
recall_target = [
  1,
  2]
[catalog]
id_type = "uuid"
[deadline]
default_ms = 5000
[slate]
k_default = true
[usrs]
"""
    assert complaints(tmp_path, text, overrides=["cluster.name=UP", "nonsense"]) == [
        "--set cluster.name string should match pattern '^[a-z0-9-]{1,32}$', got \"UP\" (allowed: matches ^[a-z0-9-]{1,32}$)",
        "--set nonsense write it as section.key=value",
        'line 3 cluster.n_shards should be a whole number, got "four" (allowed: 1 to 1024)',
        "line 5 sources.ann.M should be greater than or equal to 2, got 1 (allowed: 2 to 128)",
        "line 6 sources.ann.recal_target unknown key; did you mean 'recall_target'?",
        "line 7 sources.ann.recall_target should be a number, got [1, 2] (allowed: 0.5 to 1)",
        'line 11 catalog.id_type should be \'string\' or \'int64\', got "uuid" (allowed: "string" or "int64")',
        "line 13 deadline.default_ms 5000 is more than deadline.max_ms, which is 2000",
        "line 15 slate.k_default should be a whole number, got true (allowed: 1 to 1000)",
        "line 16 usrs unknown key; did you mean 'users'?",
    ]


def test_a_key_in_the_wrong_section_is_pointed_home(tmp_path: Path) -> None:
    assert complaints(tmp_path, "[http]\nef_construction = 64\n") == [
        "line 2 http.ef_construction unknown key here; did you mean 'sources.ann.ef_construction'?"
    ]


def test_named_sections_have_lines_ranges_and_suggestions_too(tmp_path: Path) -> None:
    text = """
[sources.item_lists.ease]
enabeld = false
k = 0
[sources.item_lists.mine]
table = "npmmi"
[sources.item_lists."Bad name"]
table = "npmi"
seeds = "history"
[sources.item_lists]
other = 3
[sources.tops]
kinds = ["purchases", "clickz"]
[train.content.weights]
brand = 0.0
"""
    assert complaints(tmp_path, text) == [
        "line 3 sources.item_lists.ease.enabeld unknown key; did you mean 'enabled'?",
        "line 4 sources.item_lists.ease.k should be greater than or equal to 1, got 0 (allowed: 1 to 10000)",
        "line 5 sources.item_lists.mine.seeds is required; "
        'allowed: "history" or "basket" or "favourites" or "viewed" or "positives"',
        "line 6 sources.item_lists.mine.table should be 'ease', 'npmi', 'together', 'content', 'als' or 'two_tower', "
        'got "npmmi"; '
        'did you mean \'npmi\'? (allowed: "ease" or "npmi" or "together" or "content" or "als" or "two_tower")',
        "line 7 sources.item_lists.Bad name a section's name here must match pattern '^[a-z][a-z0-9_]{0,31}$'",
        "line 11 sources.item_lists.other should be a section, got 3",
        "line 13 sources.tops.kinds should be 'purchases', 'clicks', 'ctr', 'pctr', 'weighted_ctr', 'weighted_pctr', "
        "'new' or 'rising', got \"clickz\"; did you mean 'clicks'?",
        "line 15 train.content.weights.brand should be greater than 0, got 0.0 (allowed: more than 0, up to 1000)",
    ]


def test_a_named_section_changes_a_default_or_adds_one(tmp_path: Path) -> None:
    text = '[sources.item_lists.ease]\nk = 7\n[sources.item_lists.mine]\ntable = "npmi"\nseeds = "viewed"\n'
    loaded = load(write(tmp_path, text), environ={"OSKOLOK__SOURCES__ITEM_LISTS__SIMILAR__ENABLED": "false"})
    lists = loaded.config.sources.item_lists
    assert lists["ease"] == ITEM_LISTS["ease"].model_copy(update={"k": 7})
    assert lists["mine"] == ItemListSource(table="npmi", seeds="viewed")
    assert lists["similar"] == ITEM_LISTS["similar"].model_copy(update={"enabled": False})
    assert list(lists) == [*ITEM_LISTS, "mine"]
    assert loaded.origins.keys() == {
        "sources.item_lists.ease.k",
        "sources.item_lists.mine.table",
        "sources.item_lists.mine.seeds",
        "sources.item_lists.similar.enabled",
    }


def test_what_is_shown_can_be_read_back(tmp_path: Path) -> None:
    changes = [
        'sources.item_lists.mine={table = "npmi", seeds = "viewed", k = 9}',
        "sources.item_lists.ease.enabled=false",
        "catalog.category=['brand', 'a b']",
        "train.content.weights={brand = 2.0, 'a b' = 0.5}",
    ]
    config = load(None, overrides=changes).config
    assert config.train.content.weights == {"brand": 2.0, "a b": 0.5}
    shown = load(write(tmp_path, render(config)))
    assert shown.config == config
    assert "[sources.item_lists.mine]\n" in render(config)  # explained where the first of its kind stands


def test_tables_and_values_in_each_others_place(tmp_path: Path) -> None:
    assert complaints(tmp_path, "http = 3\n[cluster.n_shards]\nx = 1\n") == [
        "line 1 http should be a section, got 3",
        "line 2 cluster.n_shards should be a value, got a table",
    ]


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["slate.k_default=300"], "slate.k_default"),
        (["ranker.heavy.n_heavy=500"], "ranker.heavy.n_heavy"),
        (["ranker.heavy.n_heavy=5"], "ranker.heavy.n_heavy_min"),
        (["ranker.heavy.target_ms=100"], "ranker.heavy.target_ms"),
        (["ranker.timeout_ms=20"], "ranker.heavy.target_ms"),
        (["slate.cap_by=brand"], "slate.cap_by"),
        (["sources.tops.group_by=brand"], "sources.tops.group_by"),
        (["train.profile=['brand']"], "train.profile"),
        (["catalog.category=['brand']", "catalog.number=['brand']"], "catalog"),
        (["transport.reconnect_min_ms=2000"], "transport.reconnect_min_ms"),
        (["sources.tops.kinds=['new', 'purchases', 'new']"], "sources.tops.kinds"),
        (["sources.tops.windows_days=[7, 7]"], "sources.tops.windows_days"),
        (["sources.cold_users=['tops', 'tops']"], "sources.cold_users"),
        (["sources.cold_users=['popular']"], "sources.cold_users"),
        (["sources.tops.kinds=['new']"], "sources.cold_users"),
        (["sources.quorum.attribute=category"], "sources.quorum.attribute"),
        (["train.content.weights={brand = 1.0}"], "train.content.weights"),
        (["sources.item_lists.new={table = 'npmi', seeds = 'basket'}"], "sources.item_lists.new"),
        (["sources.item_lists.towers={table = 'two_tower', seeds = 'basket'}"], "sources.item_lists.towers.table"),
        (["merge.weights={popular = 2.0}"], "merge.weights.popular"),
    ],
)
def test_keys_that_contradict_each_other(overrides: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?m)^  --set +{key} |^  default +{key} ") as caught:
        load(None, overrides=overrides)
    (error,) = caught.value.details["errors"]  # type: ignore[misc]
    assert error["key"] == key and error["where"] in ("--set", "default")


def test_a_mistake_elsewhere_hides_none(tmp_path: Path) -> None:
    text = """
[merge.weights]
histori = 2.0
[sources.ann]
M = 1
[sources.item_lists.mine]
table = "npmi"
[catalog]
id_type = "uuid"
category = "brand"
[slate]
cap_by = "colour"
[train]
profile = ["colour"]
[[slate.quotas]]
source = "popular"
min = 1
[slate.diversity]
space = "nospace"
"""
    rows = [row.split()[2] for row in complaints(tmp_path, text)]
    assert rows == [
        "merge.weights.histori",
        "sources.ann.M",
        "sources.item_lists.mine.seeds",
        "catalog.id_type",
        "catalog.category",  # so nobody knows yet which columns there are
        "slate.quotas.0.source",
        "slate.diversity.space",
    ]


def test_a_misspelt_key_accuses_none_that_depends_on_it(tmp_path: Path) -> None:
    rows = complaints(tmp_path, '[catalog]\ncategry = ["brand"]\n[slate]\ncap_by = "brand"\n')
    assert rows == ["line 2 catalog.categry unknown key; did you mean 'category'?"]


def test_what_is_no_list_is_told_in_toml_s_words(tmp_path: Path) -> None:
    text = '[catalog]\ncategory = "brand"\nid_column = 3\n[slate]\nexclude_seen = "yes"\n[merge]\nweights = 2\n'
    assert [row.split(" ", 3)[3] for row in complaints(tmp_path, text)] == [
        'should be a list, got "brand"',
        "should be text in quotes, got 3",
        'should be true or false, got "yes"',
        "should be a table, got 2",
    ]


def test_an_unknown_section_is_placed_where_it_is_written() -> None:
    with pytest.raises(ConfigError, match=r"--set +a +unknown key"):
        load(None, overrides=["a.b=1"])


def test_files_that_are_named_must_be_there_where_they_are_read(tmp_path: Path) -> None:
    text = '[train.ranker]\nonnx_file = "nosuch.onnx"\nlogged = "nowhere"\n'
    load(write(tmp_path, text))
    assert complaints(tmp_path, text, checks=(contradictions, absent_files)) == [
        "line 2 train.ranker.onnx_file there is no file nosuch.onnx",
        "line 3 train.ranker.logged there is no folder nowhere",
    ]


def test_a_wrong_limit_does_not_accuse_the_key_it_limits(tmp_path: Path) -> None:
    rows = complaints(tmp_path, "[limits]\nk = 0\n[slate]\nk_default = 300\n")
    assert [row.split()[2] for row in rows] == ["limits.k"]


@pytest.mark.parametrize("text", ["[cluster\n", "a = \n", "a = 1\na = 2\n", 'x = "', "[a]\n[a]\n"])
def test_what_is_not_toml_names_its_line(tmp_path: Path, text: str) -> None:
    assert complaints(tmp_path, text)[0].startswith("line ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "latin.toml")


def test_infinity_and_nan_are_not_numbers_here(tmp_path: Path) -> None:
    assert "finite" in complaints(tmp_path, "[train]\nhalf_life_days = inf\n")[0]


def test_lines_of_multi_line_values_and_quoted_keys() -> None:
    text = '# c\n[a."b.c"]\nx = """\n[not.a.table]\n"""\ny = [ # [z]\n 1,\n]\n\n"q k" = {m = 1}\n[[rows]]\nn = 1\n'
    assert key_lines(text) == {
        ("a",): 2,
        ("a", "b.c"): 2,
        ("a", "b.c", "x"): 3,
        ("a", "b.c", "y"): 6,
        ("a", "b.c", "q k"): 10,
        ("a", "b.c", "q k", "m"): 10,
        ("rows",): 11,
        ("rows", "0"): 11,
        ("rows", "0", "n"): 12,
    }


def test_sources_that_fit_together() -> None:
    overrides = [
        "sources.tops.kinds=['new', 'rising']",
        "sources.cold_users=['rising']",
        "catalog.category=['kind']",
        "sources.tops.group_by=kind",
        "sources.quorum.attribute=kind",
        "sources.two_tower.enabled=true",
        "sources.item_lists.towers={table = 'two_tower', seeds = 'basket'}",
    ]
    assert load(None, overrides=overrides).config.sources.cold_users == ("rising",)
    assert load(None, overrides=["sources.tops.enabled=false", "sources.cold_users=['x']"]).config.sources.tops.enabled is False


KEYS = st.sampled_from(sorted(leaves(Config())))


@settings(max_examples=60, deadline=None)
@given(st.lists(KEYS, max_size=12, unique=True), st.integers(0, 3))
def test_any_subset_of_the_defaults_round_trips(keys: list[tuple[str, ...]], blank_lines: int) -> None:
    values = leaves(Config())
    text = ("\n" * blank_lines).join(f"{'.'.join(key)} = {toml_value(values[key])}\n" for key in keys)
    tree = tomllib.loads(text)
    assert Config() == Config.model_validate(_tuples(tree))
    lines = text.splitlines()
    for key in keys:
        assert lines[key_lines(text)[key] - 1].startswith(".".join(key))


def _tuples(value: object) -> object:
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def test_every_number_of_the_configuration_has_a_range() -> None:
    free = {("train", "seed")}
    for key, value in leaves(Config()).items():
        if isinstance(value, int | float) and not isinstance(value, bool) and key not in free:
            field = field_at(key)
            assert field is not None and allowed(field), f"{'.'.join(key)} has no range"
