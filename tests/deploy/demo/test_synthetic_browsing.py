"""The made-up world with everything in it: read without a complaint, and every kind of list can be made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluster.config.sections import CatalogSection, EventsSection, PlaylistsSection, UserTableSection
from cluster.config.sources import TOPS_KINDS
from deploy.demo.synthetic import World, write_world
from deploy.demo.synthetic_browsing import Browsed, add_browsing
from train.input.catalogue import Catalogue, read_catalogue
from train.input.event_log import KINDS, NO_CONTEXT, EventLog
from train.input.event_reader import read_events
from train.input.user_table import read_users
from train.lists.playlists import read_playlists
from train.lists.tops import make_tops, possible_kinds

WORLD = World(n_users=40, n_items=60, n_categories=4, n_days=60)
CATALOG = CatalogSection(category=("category",), created_column="created_at", vector_column="content")
EVENTS = EventsSection(type_column="type", context_column="session_id")


def log_in(folder: Path, items: Path, events: Path, section: EventsSection) -> tuple[Catalogue, EventLog]:
    catalogue, report = read_catalogue(items, CATALOG if section.type_column else CatalogSection(), id_length_max=99)
    assert not report.dropped and not report.noted
    folder.mkdir()
    log, report = read_events(events, section, catalogue, folder, now=WORLD.end, user_id_length_max=99)
    assert set(report.dropped) <= {"repeats another event (user, item, time, type)"} and not report.noted
    return catalogue, log


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Browsed, EventLog, Catalogue, EventLog]:
    """The files, the log of purchases before browsing was added, and the catalogue and the log after it."""
    folder = tmp_path_factory.mktemp("world")
    items, events = write_world(WORLD, folder)
    _, before = log_in(folder / "before", items, events, EventsSection())
    files = add_browsing(WORLD, folder)
    return files, before, *log_in(folder / "after", files.items, files.events, EVENTS)


def test_the_purchases_stay_what_they_were(made: tuple[Browsed, EventLog, Catalogue, EventLog]) -> None:
    _, before, _, after = made
    for one, two in zip(before.chunks(), after.chunks(), strict=True):
        assert np.array_equal(one.users, two.users) and np.array_equal(one.items, two.items)
        assert np.array_equal(one.times, two.times)


def test_all_kinds_of_events_and_lists_are_there(made: tuple[Browsed, EventLog, Catalogue, EventLog]) -> None:
    _, _, catalogue, log = made
    counts = log.count_by_kind()
    assert set(counts) == set(KINDS) and counts["view"] > counts["click"] > counts["purchase"] > counts["favourite"] > 0
    assert (log.contexts != NO_CONTEXT).any() and catalogue.content is not None and catalogue.created is not None
    for chunk in log.chunks():
        assert (chunk.times >= catalogue.created[chunk.items]).all(), "nothing is bought before it is there"
    assert possible_kinds(log, EVENTS) == TOPS_KINDS
    lists = make_tops(log, catalogue, as_of=WORLD.end, kinds=TOPS_KINDS, windows_days=(7,), group_by="category")
    assert len(lists) == len(TOPS_KINDS) * (1 + WORLD.n_categories)
    assert all(len(set(top.scores.tolist())) > 1 for top in lists)


def test_users_and_playlists_are_read_without_a_complaint(made: tuple[Browsed, EventLog, Catalogue, EventLog]) -> None:
    files, _, catalogue, log = made
    section = UserTableSection(category=("category",), number=("age",), boolean=("member",))
    table, report = read_users(files.users, section, id_length_max=99)
    assert not report.dropped and set(log.user_ids.to_pylist()) < set(table.ids.to_pylist())
    assert table.profile_attributes(catalogue.specs) == ("category",)
    playlists, report = read_playlists(files.playlists, PlaylistsSection(), catalogue)
    assert not report.dropped and playlists.names == ("breakfast", "under the weather")
