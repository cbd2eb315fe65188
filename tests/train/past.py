"""The signals of a moment without a build around them: the stages that learn, in a folder of their own."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from cluster.config.sections import Config
from deploy.demo.synthetic import World, write_world
from train.input.catalogue import Catalogue, read_catalogue
from train.input.event_log import EventLog
from train.input.event_reader import read_events
from train.input.report import InputReport, TableReport
from train.progress import Quiet
from train.signals import Signals
from train.stages import Stages
from train.stages.learn import learn, signals_of
from train.stages.read import Dataset

_NOTHING = TableReport("", 0, 0, {}, {}, {})


def read_world(world: World, config: Config, folder: Path, *, now: float) -> tuple[Catalogue, EventLog]:
    items, events = write_world(world, folder)
    catalogue, _ = read_catalogue(items, config.catalog, id_length_max=256)
    (folder / "log").mkdir()
    log, _ = read_events(events, config.events, catalogue, folder / "log", now=now, user_id_length_max=256)
    return catalogue, log


def signals_at(catalogue: Catalogue, log: EventLog, config: Config, *, as_of: int) -> Signals:
    dataset = Dataset("world", catalogue, log, InputReport(_NOTHING, _NOTHING, log.n_users, 0, 0, 0))
    with TemporaryDirectory() as folder, Stages(Path(folder), Quiet()) as stages:
        return signals_of(dataset, learn(stages, dataset, config, moment="past", as_of=as_of), config)
