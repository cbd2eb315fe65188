"""Every knob of the system: frozen models with defaults, units in the names, and the allowed ranges.

One file, `oskolok.toml`, fills them (`cluster/config/file.py` reads it and reports every mistake at once). Each part of the
system is handed its own section and never the whole; nothing below `deploy/` reads the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cluster.config.section import Fraction, Positive, Section, TimeoutMs
from cluster.config.slate import SlateSection as SlateSection
from cluster.config.sources import AnnSource as AnnSource
from cluster.config.sources import ScoreAllSource as ScoreAllSource
from cluster.config.sources import SourceName as SourceName
from cluster.config.sources import SourcesSection as SourcesSection
from cluster.config.sources import TopsSource as TopsSource
from cluster.config.train import AlsSection as AlsSection
from cluster.config.train import RankTrainSection as RankTrainSection
from cluster.config.train import TrainSection as TrainSection
from cluster.spec import HeavyKind


class ClusterSection(Section):
    """Who takes part."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")] = "oskolok"
    n_shards: Annotated[int, Field(ge=1, le=1024, description="disjoint parts of the items; fixed at build")] = 4
    n_rankers: Annotated[int, Field(ge=0, le=256)] = 2
    n_routers: Annotated[int, Field(ge=1, le=64, description="Serve replicas that answer HTTP")] = 1


class StorageSection(Section):
    """Where generations and secrets lie."""

    path: Annotated[str, Field(min_length=1)] = "var/oskolok"
    keep_generations: Annotated[Positive, Field(description="The newest; one that is being served stays too")] = 3


class CatalogSection(Section):
    """Columns of items.parquet. Attributes can be filtered on; any column can be shown as an item's payload."""

    id_column: str = "item_id"
    id_type: Literal["string", "int64"] = "string"
    category: tuple[str, ...] = ()
    categories: Annotated[tuple[str, ...], Field(description="list columns: sets of strings")] = ()
    number: tuple[str, ...] = ()
    boolean: tuple[str, ...] = ()
    payload: Annotated[
        tuple[str, ...], Field(description="any columns, shown with each item; empty = every single-valued attribute")
    ] = ()
    created_column: Annotated[str, Field(description='since when the item is there; "" = since its first event')] = ""
    vector_column: Annotated[str, Field(description='content vectors, all of one length; "" = none')] = ""


class EventsSection(Section):
    """Columns of events.parquet, and which of its event types mean what."""

    user_column: str = "user_id"
    item_column: str = "item_id"
    time_column: str = "timestamp"
    weight_column: Annotated[str, Field(description='"" = every event weighs 1')] = ""
    context_column: Annotated[
        str, Field(description='the basket or session of an event; "" = a user\'s events at one time')
    ] = ""
    type_column: Annotated[str, Field(description='"" = every event is a purchase, the target')] = ""
    view_types: tuple[str, ...] = ("view", "impression")
    click_types: tuple[str, ...] = ("click",)
    purchase_types: Annotated[tuple[str, ...], Field(description="the target action, whatever it is called here")] = (
        "purchase",
    )
    favourite_types: tuple[str, ...] = ("favourite", "favorite")


class UserTableSection(Section):
    """Columns of users.parquet, an optional table of what is known of users beside the log."""

    id_column: str = "user_id"
    category: tuple[str, ...] = ()
    categories: Annotated[tuple[str, ...], Field(description="list columns: sets of strings")] = ()
    number: tuple[str, ...] = ()
    boolean: tuple[str, ...] = ()


class PlaylistsSection(Section):
    """Columns of playlists.parquet, an optional table of named lists of items."""

    name_column: str = "name"
    item_column: str = "item_id"
    position_column: Annotated[str, Field(description="a number; the smallest stands first")] = "position"


class UsersSection(Section):
    """The user store, and what it keeps of a user."""

    store: Annotated[
        str, Field(description="lmdb:///path | redis://host:6379/0 | rediss:// | valkey://; empty = LMDB below storage.path")
    ] = ""
    timeout_ms: TimeoutMs = 20
    history_max_items: Annotated[int, Field(ge=1, le=10_000)] = 500
    profile_max_values: Annotated[int, Field(ge=1, le=1_000, description="strongest values kept per profile attribute")] = 64
    session_items: Annotated[
        int, Field(ge=0, le=100, description="of basket and views, what places a user who has no vector; 0 = none")
    ] = 20
    view_weight: Annotated[
        float, Field(gt=0, le=1, description="what an item viewed counts in that, one in the basket is 1")
    ] = 0.3
    map_size_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 44)] = 16 << 30
    pool_max_conns: Annotated[int, Field(ge=1, le=1024)] = 32


class MergeSection(Section):
    """From shard replies to one list of candidates."""

    rrf_rank_constant: Annotated[float, Field(gt=0, le=1000, description="k of reciprocal rank fusion")] = 60.0
    weights: Annotated[
        Mapping[SourceName, Annotated[float, Field(gt=0, le=1000)]],
        Field(description="source -> how much its ranks count in the fusion; 1 if not named"),
    ] = {"completes_basket": 0.2}
    session_tops: Annotated[
        float,
        Field(gt=0, le=1, description="times the weight of top lists where a user is placed by basket and views alone"),
    ] = 0.25
    session_weights: Annotated[
        Mapping[SourceName, Annotated[float, Field(gt=0, le=1000)]],
        Field(description="source -> the same where a user is placed by basket and views alone; its weight if not named"),
    ] = {}
    exact_probability: Annotated[
        float, Field(ge=0.5, lt=1, description="that no shard must be asked twice, which sets the rows a shard sends")
    ] = 0.9999
    n_light: Annotated[int, Field(ge=1, le=10_000, description="merged candidates that reach the light model")] = 400


Serves = Literal["auto", True, False]


class LightSection(Section):
    enabled: Annotated[
        Serves, Field(description='"auto" = if the build\'s judge found that it orders better than the merge')
    ] = "auto"


class HeavySection(Section):
    """Under load fewer than n_heavy are asked for, so that `percentile` of the calls to rankers take target_ms at most."""

    enabled: Annotated[
        Serves, Field(description='"auto" = if the build\'s judge found that it orders better than what serves without it')
    ] = "auto"
    model: Annotated[
        HeavyKind, Field(description="which of the generation's: the trees of the build, or train.ranker.onnx_file")
    ] = "catboost"
    n_heavy: Annotated[int, Field(ge=1, le=10_000, description="candidates that reach the heavy model")] = 100
    adaptive: Annotated[bool, Field(description="false = n_heavy whatever the load")] = True
    n_heavy_min: Annotated[int, Field(ge=1, le=10_000, description="never fewer than these, however high the load")] = 10
    target_ms: TimeoutMs = 30
    percentile: Annotated[float, Field(ge=50, le=99.9)] = 95.0
    step: Annotated[float, Field(gt=0, le=0.1, description="share of n_heavy that a call in time wins back")] = 0.002


class RankerSection(Section):
    """One pool of actors; one call runs light, then heavy."""

    timeout_ms: TimeoutMs = 60
    batch_requests_max: Annotated[int, Field(ge=1, le=1024)] = 32
    light: LightSection = LightSection()
    heavy: HeavySection = HeavySection()


class DeadlineSection(Section):
    """One budget per request. Shares are of what is left when the stage begins."""

    default_ms: TimeoutMs = 200
    max_ms: TimeoutMs = 2_000
    retrieve_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    rank_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    min_coverage: Fraction = 0.0


class AdmissionSection(Section):
    """What one router takes on at once; beyond it, 429."""

    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 64
    retry_after_s: Annotated[int, Field(ge=1, le=3600)] = 1


class LimitsSection(Section):
    """Over a limit a request is refused, never cut."""

    k: Annotated[int, Field(ge=1, le=1_000)] = 200
    batch_requests: Annotated[int, Field(ge=1, le=1_024)] = 64
    exclude_item_ids: Annotated[int, Field(ge=0, le=10_000)] = 2_000
    basket_items: Annotated[int, Field(ge=0, le=10_000)] = 500
    viewed_items: Annotated[int, Field(ge=0, le=10_000)] = 200
    playlists: Annotated[int, Field(ge=0, le=64)] = 16
    pins: Annotated[int, Field(ge=0, le=200)] = 20
    filter_conditions: Annotated[int, Field(ge=0, le=64)] = 16
    filter_values: Annotated[int, Field(ge=1, le=10_000)] = 500
    id_length: Annotated[int, Field(ge=1, le=4096)] = 256
    body_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = 1 << 20


class TransportSection(Section):
    """The data plane between router, shards and rankers."""

    frame_bytes_max: Annotated[int, Field(ge=4096, le=16 << 20)] = 16 << 20
    in_flight_max: Annotated[int, Field(ge=1, le=65_536, description="per connection")] = 1_024
    connect_timeout_ms: TimeoutMs = 1_000
    reconnect_min_ms: TimeoutMs = 20
    reconnect_max_ms: TimeoutMs = 1_000


class HttpSection(Section):
    """Where routers answer. Browsers may call them from pages of `cors_origins` only."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    cors_origins: Annotated[
        tuple[str, ...], Field(description='such as "https://shop.example"; "*" = any; empty = no page of another origin')
    ] = ()


class RaySection(Section):
    """The control plane. `address`: "" starts a local Ray, "auto" joins the cluster this machine is part of."""

    address: str = ""
    namespace: Annotated[str, Field(min_length=1)] = "oskolok"
    num_cpus_per_actor: Annotated[float, Field(ge=0, le=1024)] = 0.1
    heal_interval_ms: Annotated[int, Field(ge=50, le=60_000)] = 250
    spread: Annotated[bool, Field(description="place shards on as many nodes as there are")] = True


class ObservabilitySection(Section):
    """What is told of requests. Replay logs lie in <storage.path>/replay; `oskolok replay` reads them."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    replay_sample: Annotated[Fraction, Field(description="share of requests kept for replay, beside those that ask for it")] = (
        0.0
    )
    replay_asked_per_s: Annotated[
        float, Field(ge=0, le=1_000, description="of requests with explain = full, how many a router keeps; 0 = none")
    ] = 1.0
    replay_bytes_max: Annotated[
        int,
        Field(ge=1 << 20, le=1 << 44, description="of all replay logs, a quarter for explain = full; the oldest are deleted"),
    ] = 256 << 20


class Config(Section):
    """The whole file."""

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
