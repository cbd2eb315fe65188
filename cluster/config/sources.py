"""The section [sources]: the candidate sources, and how many candidates each may propose.

A build makes the sources that are enabled and that the input allows; the router asks those that are enabled and that the
generation has. The section [train] says how a source is computed (`cluster/config/train.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from cluster.config.section import Positive, Section, key
from cluster.spec import SourceSpec

TopsKind = Literal["purchases", "clicks", "ctr", "pctr", "weighted_ctr", "weighted_pctr", "new", "rising"]
SeedSet = Literal["history", "basket", "favourites", "viewed", "positives"]
TableName = Literal["ease", "npmi", "together", "content", "als", "two_tower"]
SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]

TOPS_KINDS: tuple[TopsKind, ...] = get_args(TopsKind)
TOPS_SOURCES: Mapping[TopsKind, SourceSpec] = {
    kind: SourceSpec("tops" if kind == "purchases" else kind, "tops", exact=True, promises_k=True, lists=kind)
    for kind in TOPS_KINDS
}
"""The source that proposes from each kind of top lists. All are configured in [sources.tops]."""

PLAYLIST = "playlist"
"""The kind of the lists that people made, as in the list's name, playlist/<name>."""

ALS, CONTENT, TWO_TOWER = "als", "content", "two_tower"
"""The embedding spaces there are."""

SOURCES: tuple[SourceSpec, ...] = (
    SourceSpec("playlists", "tops", exact=True, promises_k=False, lists=PLAYLIST),
    SourceSpec("ann", "ann", exact=False, promises_k=True, space=ALS),
    SourceSpec("content", "ann", exact=False, promises_k=True, space=CONTENT),
    SourceSpec("two_tower", "ann", exact=False, promises_k=True, space=TWO_TOWER),
    SourceSpec("score_all", "score_all", exact=True, promises_k=True, space=ALS, lists="purchases"),
    *(SourceSpec(name, "seeds", exact=True, promises_k=False, seeds=name) for name in ("history", "favourites", "viewed")),
    SourceSpec("quorum", "quorum", exact=True, promises_k=False),
)
"""The sources with a section of their own name, in the order in which they are listed everywhere: after the top lists, and
with those of [sources.item_lists] before the last."""

Budget = Annotated[int, Field(ge=1, le=10_000)]


class SourceSection(Section):
    """enabled: whether generations are built with the source, and routers ask it.  k: candidates it may propose."""

    enabled: bool = True
    k: Budget = 100


class TopsSource(SourceSection):
    """Static top lists over windows of days, global and per value of a category attribute. Each kind has its own k."""

    kinds: tuple[TopsKind, ...] = key(
        TOPS_KINDS,
        "each is a source if the log allows it; that of `purchases` is tops",
        min_length=1,
        max_length=len(TOPS_KINDS),
    )
    windows_days: tuple[Positive, ...] = key((7, 28, 90), min_length=1, max_length=16)
    group_by: str = key("", 'attribute with a list per value; "" = global lists only')
    groups_per_user: int = key(5, ge=0, le=64)


class AnnSource(SourceSection):
    """Nearest items to the user's vector in the space als."""

    k: Budget = 300
    M: int = key(16, ge=2, le=128)
    ef_construction: int = key(200, ge=8, le=4096)
    recall_target: float = key(0.99, ge=0.5, le=1)


class ContentSource(AnnSource):
    """Nearest items to the user's vector in the space of content vectors, if the catalogue has them."""

    k: Budget = 100


class TwoTowerSource(AnnSource):
    """Nearest items to the user's vector of the two-tower model. Training it needs the extra `neural`."""

    enabled: bool = False
    k: Budget = 200


class ScoreAllSource(SourceSection):
    """Every eligible item, scored exactly, for small catalogues."""

    k: Budget = 300
    max_items: int = key(2_000, "replaces ann if the catalogue has at most this many items", ge=0)


class HistorySource(SourceSection):
    """Items that the user bought before."""

    k: Budget = 150


class FavouritesSource(SourceSection):
    """Items that the user marked as liked, or buys again and again."""


class ViewedSource(SourceSection):
    """Items viewed lately: in this session, as the request says, then before it, as the user store knows."""

    k: Budget = 50
    half_weight_items: float = key(10.0, "an item viewed this many items before another weighs half as much", gt=0, le=10_000)


class PlaylistsSource(SourceSection):
    """Items of the lists that a request names; people make these lists."""


class QuorumSource(SourceSection):
    """Items liked by people who like the same categories as the user."""

    attribute: str = key("", 'attribute with the categories; "" = no quorum')


class ItemListSource(Section):
    """Items that follow from the user's seeds s by an item-item table w: item i scores the sum of weight(s) * w(s, i)."""

    enabled: bool = True
    table: TableName = Field(description="the item-item table")
    seeds: SeedSet = Field(description="the user's items to look up in it")
    k: Budget = 100


ITEM_LISTS: Mapping[str, ItemListSource] = {
    "ease": ItemListSource(table="ease", seeds="history", k=200),
    "with_basket": ItemListSource(table="npmi", seeds="basket"),
    "completes_basket": ItemListSource(table="together", seeds="basket"),
    "with_history": ItemListSource(table="npmi", seeds="history"),
    "similar": ItemListSource(table="content", seeds="positives"),
    "near_basket": ItemListSource(table="als", seeds="basket"),
}
"""The item-list sources that exist by default."""


class SourcesSection(Section):
    """Candidate sources. Every k counts candidates of the whole cluster; the router divides it among the shards."""

    cold_users: tuple[SourceName, ...] = key(
        ("tops",), "top lists that share the k of a space where the user has no vector", max_length=16
    )
    tops: TopsSource = TopsSource()
    ann: AnnSource = AnnSource()
    content: ContentSource = ContentSource()
    two_tower: TwoTowerSource = TwoTowerSource()
    score_all: ScoreAllSource = ScoreAllSource()
    history: HistorySource = HistorySource()
    favourites: FavouritesSource = FavouritesSource()
    viewed: ViewedSource = ViewedSource()
    playlists: PlaylistsSource = PlaylistsSource()
    quorum: QuorumSource = QuorumSource()
    item_lists: Mapping[SourceName, ItemListSource] = key(ITEM_LISTS, max_length=32)

    def of_space(self, space: str) -> AnnSource:
        """The section of the source that searches an embedding space."""
        return {CONTENT: self.content, TWO_TOWER: self.two_tower}.get(space, self.ann)

    def of(self, source: SourceSpec) -> SourceSection | ItemListSource | None:
        """The section of a generation's source; None for one that this configuration does not have."""
        match source.kind:
            case "tops":
                return self.playlists if source.lists == PLAYLIST else self.tops
            case "ann":
                return self.of_space(source.space)
            case "score_all":
                return self.score_all
            case "seeds":
                return {"history": self.history, "favourites": self.favourites, "viewed": self.viewed}.get(source.seeds)
            case "item_lists":
                return self.item_lists.get(source.name)
            case "quorum":
                return self.quorum

    @model_validator(mode="before")
    @classmethod
    def _beside_the_default_lists(cls, tree: Any) -> Any:
        """A section of a default list changes what it says and leaves the rest; a new name adds a source."""
        if not isinstance(tree, dict) or not isinstance(given := tree.get("item_lists"), Mapping):
            return tree
        merged: dict[str, object] = {name: section.model_dump() for name, section in ITEM_LISTS.items()}
        for name, section in given.items():
            before = merged.get(name)
            merged[name] = before | section if isinstance(before, dict) and isinstance(section, dict) else section
        return {**tree, "item_lists": merged}
