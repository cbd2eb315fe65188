"""Every configuration key: frozen models with defaults, units in the names, and allowed ranges.

The values come from `oskolok.toml` (`cluster/config/file.py` reads it and reports every mistake at once). Each part of the
system gets its own section and never the whole; only `deploy/` reads the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cluster.config.section import Fraction, Positive, Section, TimeoutMs, key
from cluster.config.slate import SlateSection
from cluster.config.sources import SourceName, SourcesSection
from cluster.config.train import TrainSection
from cluster.spec import HeavyKind


class ClusterSection(Section):
    """How many processes of each kind there are."""

    name: str = key("oskolok", pattern=r"^[a-z0-9-]{1,32}$")
    n_shards: int = key(4, "disjoint parts of the items; fixed by the build", ge=1, le=1024)
    n_rankers: int = key(2, ge=0, le=256)
    n_routers: int = key(1, "Serve replicas that answer HTTP", ge=1, le=64)


class StorageSection(Section):
    """Where generations and secrets are stored."""

    path: str = key("var/oskolok", min_length=1)
    keep_generations: Positive = key(3, "the newest; a generation being served is kept too")


class CatalogSection(Section):
    """Columns of items.parquet. Requests can filter on attributes; any column can be part of an item's payload."""

    id_column: str = "item_id"
    id_type: Literal["string", "int64"] = "string"
    category: tuple[str, ...] = ()
    categories: tuple[str, ...] = key((), "list columns: sets of strings")
    number: tuple[str, ...] = ()
    boolean: tuple[str, ...] = ()
    payload: tuple[str, ...] = key((), "any columns, shown with each item; empty = every single-valued attribute")
    created_column: str = key("", 'when the item was listed; "" = its first event')
    vector_column: str = key("", 'content vectors, all of one length; "" = none')


class EventsSection(Section):
    """Columns of events.parquet, and the meaning of its event types."""

    user_column: str = "user_id"
    item_column: str = "item_id"
    time_column: str = "timestamp"
    weight_column: str = key("", '"" = every event weighs 1')
    context_column: str = key("", 'basket or session of an event; "" = a user\'s events at the same time')
    type_column: str = key("", '"" = every event is a purchase, the target')
    view_types: tuple[str, ...] = ("view", "impression")
    click_types: tuple[str, ...] = ("click",)
    purchase_types: tuple[str, ...] = key(("purchase",), "the target action, whatever your log calls it")
    favourite_types: tuple[str, ...] = ("favourite", "favorite")


class UserTableSection(Section):
    """Columns of users.parquet, an optional table of user attributes."""

    id_column: str = "user_id"
    category: tuple[str, ...] = ()
    categories: tuple[str, ...] = key((), "list columns: sets of strings")
    number: tuple[str, ...] = ()
    boolean: tuple[str, ...] = ()


class PlaylistsSection(Section):
    """Columns of playlists.parquet, an optional table of named lists of items."""

    name_column: str = "name"
    item_column: str = "item_id"
    position_column: str = key("position", "a number; the smallest comes first")


class UsersSection(Section):
    """The user store, and what it keeps about a user."""

    store: str = key("", "lmdb:///path | redis://host:6379/0 | rediss:// | valkey://; empty = LMDB below storage.path")
    timeout_ms: TimeoutMs = 20
    history_max_items: int = key(500, ge=1, le=10_000)
    profile_max_values: int = key(64, "strongest values kept per profile attribute", ge=1, le=1_000)
    session_items: int = key(20, "items of basket and views that give a user without a vector one; 0 = none", ge=0, le=100)
    view_weight: float = key(0.3, "weight of a viewed item in that vector; an item in the basket has 1", gt=0, le=1)
    map_size_bytes: int = key(16 << 30, ge=1 << 20, le=1 << 44)
    pool_max_conns: int = key(32, ge=1, le=1024)


class MergeSection(Section):
    """From shard replies to one list of candidates."""

    rrf_rank_constant: float = key(60.0, "k of reciprocal rank fusion", gt=0, le=1000)
    weights: Mapping[SourceName, Annotated[float, Field(gt=0, le=1000)]] = key(
        {"completes_basket": 0.2}, "source -> weight of its ranks in the fusion; 1 if not named"
    )
    session_tops: float = key(0.25, "factor on the weights of top lists for users known by basket and views alone", gt=0, le=1)
    session_weights: Mapping[SourceName, Annotated[float, Field(gt=0, le=1000)]] = key(
        {}, "source -> weight for users known by basket and views alone; merge.weights if not named"
    )
    exact_probability: float = key(0.9999, "probability that no shard is asked twice; sets the rows each sends", ge=0.5, lt=1)
    n_light: int = key(400, "merged candidates that reach the light model", ge=1, le=10_000)


Serves = Literal["auto", True, False]


class LightSection(Section):
    enabled: Serves = key("auto", '"auto" = if the build\'s judge says that it orders better than the merge')


class HeavySection(Section):
    """Under load, fewer than n_heavy candidates are sent, so that `percentile` % of ranking calls take target_ms at most."""

    enabled: Serves = key("auto", '"auto" = if the build\'s judge says that it orders better than what serves without it')
    model: HeavyKind = key("catboost", "the generation's model that serves: the build's trees, or train.ranker.onnx_file")
    n_heavy: int = key(100, "candidates that reach the heavy model", ge=1, le=10_000)
    adaptive: bool = key(True, "false = always n_heavy, whatever the load")
    n_heavy_min: int = key(10, "lower bound under any load", ge=1, le=10_000)
    target_ms: TimeoutMs = 30
    percentile: float = key(95.0, ge=50, le=99.9)
    step: float = key(0.002, "share of n_heavy that a call in time adds", gt=0, le=0.1)


class RankerSection(Section):
    """One pool of actors; one call runs light, then heavy."""

    timeout_ms: TimeoutMs = 60
    batch_requests_max: int = key(32, ge=1, le=1024)
    light: LightSection = LightSection()
    heavy: HeavySection = HeavySection()


class DeadlineSection(Section):
    """The time budget of a request. A share is of the time left when the stage begins."""

    default_ms: TimeoutMs = 200
    max_ms: TimeoutMs = 2_000
    retrieve_share: float = key(0.6, gt=0, le=1)
    rank_share: float = key(0.8, gt=0, le=1)
    min_coverage: Fraction = 0.0


class AdmissionSection(Section):
    """How many requests a router answers at once; beyond that, 429."""

    max_in_flight: int = key(64, ge=1, le=100_000)
    retry_after_s: int = key(1, ge=1, le=3600)


class LimitsSection(Section):
    """A request over a limit is refused, never cut."""

    k: int = key(200, ge=1, le=1_000)
    batch_requests: int = key(64, ge=1, le=1_024)
    exclude_item_ids: int = key(2_000, ge=0, le=10_000)
    basket_items: int = key(500, ge=0, le=10_000)
    viewed_items: int = key(200, ge=0, le=10_000)
    playlists: int = key(16, ge=0, le=64)
    pins: int = key(20, ge=0, le=200)
    filter_conditions: int = key(16, ge=0, le=64)
    filter_values: int = key(500, ge=1, le=10_000)
    id_length: int = key(256, ge=1, le=4096)
    body_bytes: int = key(1 << 20, ge=1024, le=1 << 20)


class TransportSection(Section):
    """The data plane between router, shards and rankers."""

    frame_bytes_max: int = key(16 << 20, ge=4096, le=16 << 20)
    in_flight_max: int = key(1_024, "per connection", ge=1, le=65_536)
    connect_timeout_ms: TimeoutMs = 1_000
    reconnect_min_ms: TimeoutMs = 20
    reconnect_max_ms: TimeoutMs = 1_000


class HttpSection(Section):
    """The address of the HTTP API. Browsers may call it only from pages of `cors_origins`."""

    host: str = "127.0.0.1"
    port: int = key(8000, ge=1, le=65_535)
    cors_origins: tuple[str, ...] = key((), 'such as "https://shop.example"; "*" = any origin; empty = no other origin')


class RaySection(Section):
    """The control plane. `address`: "" starts a local Ray, "auto" joins the Ray cluster that this machine is part of."""

    address: str = ""
    namespace: str = key("oskolok", min_length=1)
    num_cpus_per_actor: float = key(0.1, ge=0, le=1024)
    heal_interval_ms: int = key(250, ge=50, le=60_000)
    spread: bool = key(True, "spread shards over all nodes")


class ObservabilitySection(Section):
    """What is logged about requests. Replay logs are in <storage.path>/replay; `oskolok replay` reads them."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    replay_sample: Fraction = key(0.0, "share of requests kept for replay, besides those that ask for it")
    replay_asked_per_s: float = key(1.0, "requests with explain = full kept by each router; 0 = none", ge=0, le=1_000)
    replay_bytes_max: int = key(
        256 << 20, "size of all replay logs, a quarter for explain = full; the oldest are deleted", ge=1 << 20, le=1 << 44
    )


class Config(Section):
    """The whole configuration file."""

    config_version: Literal[1] = 1
    cluster: ClusterSection = ClusterSection()
    storage: StorageSection = StorageSection()
    catalog: CatalogSection = CatalogSection()
    events: EventsSection = EventsSection()
    user_table: UserTableSection = UserTableSection()
    playlists: PlaylistsSection = PlaylistsSection()
    users: UsersSection = UsersSection()
    sources: SourcesSection = SourcesSection()
    merge: MergeSection = MergeSection()
    ranker: RankerSection = RankerSection()
    slate: SlateSection = SlateSection()
    deadline: DeadlineSection = DeadlineSection()
    admission: AdmissionSection = AdmissionSection()
    limits: LimitsSection = LimitsSection()
    transport: TransportSection = TransportSection()
    http: HttpSection = HttpSection()
    ray: RaySection = RaySection()
    observability: ObservabilitySection = ObservabilitySection()
    train: TrainSection = TrainSection()
