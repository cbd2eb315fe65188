"""Which candidate sources there are and how many candidates each may propose: the configuration's [sources].

The build makes what is enabled here and what the input allows; the router asks what is enabled here and what the generation
has. How a source is computed is [train]'s (`cluster/config/train.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from cluster.config.section import Positive, Section

TopsKind = Literal["purchases", "clicks", "ctr", "pctr", "weighted_ctr", "weighted_pctr", "new", "rising"]
SeedSet = Literal["history", "basket", "favourites", "viewed", "positives"]
TableName = Literal["ease", "npmi", "together", "content", "als", "two_tower"]
SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]

TOPS_KINDS: tuple[TopsKind, ...] = get_args(TopsKind)
TOPS_SOURCE: Mapping[TopsKind, str] = {kind: "tops" if kind == "purchases" else kind for kind in TOPS_KINDS}
"""The name of the source that proposes from each kind of top lists."""

PLAYLIST = "playlist"
"""The kind of the lists that people made, as in the list's name, playlist/<name>."""

Budget = Annotated[int, Field(ge=1, le=10_000)]


class TopsSource(Section):
    """Static top lists: over windows of days, global and per value of a category attribute. k is each kind's."""

    enabled: bool = True
    k: Budget = 100
    kinds: Annotated[
        tuple[TopsKind, ...],
        Field(
            min_length=1, max_length=len(TOPS_KINDS), description="each a source, `purchases` named tops; those the log allows"
        ),
    ] = TOPS_KINDS
    windows_days: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=16)] = (7, 28, 90)
    group_by: Annotated[str, Field(description='attribute with a list per value; "" = global lists only')] = ""
    groups_per_user: Annotated[int, Field(ge=0, le=64)] = 5


class AnnSource(Section):
    """Nearest items to the user's vector, of the space als."""

    enabled: bool = True
    k: Budget = 300
    M: Annotated[int, Field(ge=2, le=128)] = 16
    ef_construction: Annotated[int, Field(ge=8, le=4096)] = 200
    recall_target: Annotated[float, Field(ge=0.5, le=1)] = 0.99


class ContentSource(AnnSource):
    """Nearest items to the user's taste in content vectors, if the catalogue has them."""

    k: Budget = 100


class TwoTowerSource(AnnSource):
    """Nearest items to the user's vector of the two-tower model. Training it needs the extra `neural`."""

    enabled: bool = False
    k: Budget = 200


class ScoreAllSource(Section):
    """Every eligible item, scored exactly, when there are few of them."""

    enabled: bool = True
    k: Budget = 300
    max_items: Annotated[int, Field(ge=0, description="used instead of ann when the catalogue is at most this large")] = 2_000


class HistorySource(Section):
    """Bought before."""

    enabled: bool = True
    k: Budget = 150


class FavouritesSource(Section):
    """Marked as liked."""

    enabled: bool = True
    k: Budget = 100


class ViewedSource(Section):
    """Viewed lately: what the request says of this session, then what the user store knows."""

    enabled: bool = True
    k: Budget = 50
    half_weight_items: Annotated[
        float, Field(gt=0, le=10_000, description="an item viewed so many items before another weighs half of it")
    ] = 10.0


class PlaylistsSource(Section):
    """Named lists of items, made by people, that a request names."""

    enabled: bool = True
    k: Budget = 100


class QuorumSource(Section):
    """What people like who like what the user likes, by category."""

    enabled: bool = True
    k: Budget = 100
    attribute: Annotated[str, Field(description='the attribute with the categories; "" = no quorums')] = ""


class ItemListSource(Section):
    """Items that lists name beside the user's seeds: of seeds s, item i scores the sum of weight(s) * w(s, i)."""

    enabled: bool = True
    table: Annotated[TableName, Field(description="whose lists")]
    seeds: Annotated[SeedSet, Field(description="which of the user's items are looked up")]
    k: Budget = 100


ITEM_LISTS: Mapping[str, ItemListSource] = {
    "ease": ItemListSource(table="ease", seeds="history", k=200),
    "with_basket": ItemListSource(table="npmi", seeds="basket"),
    "completes_basket": ItemListSource(table="together", seeds="basket"),
    "with_history": ItemListSource(table="npmi", seeds="history"),
    "similar": ItemListSource(table="content", seeds="positives"),
    "near_basket": ItemListSource(table="als", seeds="basket"),
}
"""The item-list sources there are unless the file says otherwise."""


class SourcesSection(Section):
    """Every k counts candidates of the whole cluster; the router divides it among the shards."""

    cold_users: Annotated[
        tuple[SourceName, ...],
        Field(max_length=16, description="top lists that share the k of a space in which the user has no vector"),
    ] = ("tops",)
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
    item_lists: Annotated[Mapping[SourceName, ItemListSource], Field(max_length=32)] = ITEM_LISTS

    def of_space(self, space: str) -> AnnSource:
        """The section of the source that searches an embedding space."""
        return {"content": self.content, "two_tower": self.two_tower}.get(space, self.ann)

    @property
    def of_seeds(self) -> Mapping[str, HistorySource | FavouritesSource | ViewedSource]:
        """The sections of the sources that propose a user's own items, by the set of seeds that is the source's name."""
        return {"history": self.history, "favourites": self.favourites, "viewed": self.viewed}

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
