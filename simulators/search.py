"""Exact search of a catalogue: nearest items, the best k, and ranks, of whole batches of queries.

The published ranker (Guo et al., NeurIPS 2018, arXiv:1805.00145) subtracts each query of a batch from all items, one
query after the other. Here one matrix product finds the few items that rounding leaves in doubt, and the published
arithmetic decides among those: the answers are the same ones.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .. import backends

ROWS = 256  # queries of one product
BYTES = 16  # a pair of query and item takes on its way
FINITE = torch.finfo(torch.float32).max


class Index:
    """Items by their ``features`` ``[N, D]``, the nearer the better: by squared Euclidean distance in float32.

    Of items at the same distance the one of the lower number comes first, and none of them is nearer than another,
    so that copies of an item share its rank. ``excluded`` ``[B, E]``, -1 for none, names items that a query is not
    to find; ranks do not count them. A query that is not finite finds what the origin would, and ranks its target
    last. ``dtype=torch.bfloat16`` halves the memory that ``nearest`` and ``top`` read, which is faster where the
    hardware multiplies it; the answers stay exact. Beyond its own copies of the features, a search takes about
    ``memory`` bytes, and more only for its answers.

    Raises ValueError for an empty catalogue and for features that are not finite.
    """

    def __init__(self, features: Tensor, dtype: torch.dtype = torch.float32, memory: int = 2**25) -> None:
        if features.ndim != 2 or not features.numel():
            raise ValueError(f"an index needs features [N, D] of one item at least, got {list(features.shape)}")
        if dtype not in (torch.float32, torch.bfloat16):
            raise ValueError(f"no index in {dtype}: expected torch.float32 or torch.bfloat16")
        self.features = features.detach().float().contiguous()
        unusable = (~self.features.square().sum(1).isfinite()).nonzero()
        if len(unusable):
            raise ValueError(f"the features of item {int(unusable[0])} are not finite, nor of {len(unusable)} in all")
        self._norms = self.features.square().sum(1)  # [N]
        self._short = self.features.to(dtype)
        self._reach = float(self._norms.max().sqrt())
        self._memory = memory

    def __len__(self) -> int:
        return len(self.features)

    def distances(self, query: Tensor) -> Tensor:
        """``[B, N]`` from each query ``[B, D]`` to all items, rounded as a product rounds; differentiable."""
        query, _ = self._checked(query)
        return (query.square().sum(1, keepdim=True) + 2 * self._halves(query, 0, len(self))).clamp_min(0)

    @torch.no_grad()
    def rank(self, query: Tensor, target: Tensor, excluded: Tensor | None = None) -> Tensor:
        """``[B]`` int64: how many items are strictly nearer to ``query`` ``[B, D]`` than item ``target`` ``[B]``."""
        query, usable = self._checked(query)
        parts = zip(query.split(ROWS), target.split(ROWS), _listed(excluded, query).split(ROWS), strict=True)
        return torch.cat([self._rank(*part) for part in parts]).where(usable, len(self) - 1)

    def nearest(self, query: Tensor, excluded: Tensor | None = None) -> Tensor:
        """``[B]`` int64: the item nearest to each query ``[B, D]``; -1 where all are excluded."""
        return self.top(query, 1, excluded)[0][:, 0]

    @torch.no_grad()
    def top(self, query: Tensor, k: int, excluded: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The ``k`` items nearest to each query ``[B, D]``, nearest first, and their distances: ``[B, k]`` both.

        Item -1 at distance infinity stands where there are no more items. Raises ValueError for k < 1.
        """
        if k < 1:
            raise ValueError(f"expected k of one item at least, got {k}")
        query, _ = self._checked(query)
        parts = zip(query.split(ROWS), _listed(excluded, query).split(ROWS), strict=True)
        found = [self._top(part, k, shut_out) for part, shut_out in parts]
        return torch.cat([items for items, _ in found]), torch.cat([distances for _, distances in found])

    def _checked(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Queries ``[B, D]`` with the origin for those that are not finite, squared as well; and which are: [B] bool.

        Raises ValueError for those of another width.
        """
        if query.ndim != 2 or query.shape[1] != self.features.shape[1]:
            expected = f"[B, {self.features.shape[1]}]"
            raise ValueError(f"the index searches for queries {expected}, got {list(query.shape)}")
        query = query.float()
        usable = query.square().sum(1).isfinite()
        return query.where(usable[:, None], 0), usable

    def _rank(self, query: Tensor, target: Tensor, excluded: Tensor) -> Tensor:
        wanted = self._between(query, torch.arange(len(query), device=query.device), target)
        mark = ((wanted - query.square().sum(1)) / 2)[:, None]
        doubt = self._doubt(query, torch.float32)
        nearer, farther = mark - doubt, mark + doubt
        count = torch.zeros_like(target)
        for first, last in self._chunks(len(query)):
            halves = _shut_out(self._halves(query, first, last), excluded, first)
            count += (halves < nearer).sum(1)
            rows, items = ((halves >= nearer) & (halves <= farther)).nonzero(as_tuple=True)
            closer = self._between(query, rows, items + first) < wanted[rows]
            count.index_add_(0, rows, closer.long())
        return count

    def _top(self, query: Tensor, k: int, excluded: Tensor) -> tuple[Tensor, Tensor]:
        doubt = self._doubt(query, self._short.dtype)
        best = torch.full((len(query), k), torch.inf, device=query.device)
        best_items = torch.full_like(best, -1, dtype=torch.long)
        for first, last in self._chunks(len(query)):
            halves = _shut_out(self._halves(query, first, last, self._short), excluded, first)
            worst = halves.amin(1) if k == 1 else halves.topk(min(k, last - first), largest=False).values[:, -1]
            bound = worst[:, None] + doubt
            rows, items = (halves <= bound.clamp(max=FINITE)).nonzero(as_tuple=True)
            distances, places = self._between(query, rows, items + first), _places(rows, len(query))
            width = int(places.max()) + 1 if len(places) else 0
            found = best.new_full((len(query), width), torch.inf)
            found_items = best_items.new_full((len(query), width), -1)
            found[rows, places], found_items[rows, places] = distances, items + first
            best, order = torch.cat([best, found], 1).sort(dim=1, stable=True)
            best, best_items = best[:, :k], torch.cat([best_items, found_items], 1).gather(1, order)[:, :k]
        return best_items, best

    def _halves(self, query: Tensor, first: int, last: int, features: Tensor | None = None) -> Tensor:
        """Half of the squared distances to the items in a range, less what all items have in common: [B, n]."""
        features = self.features if features is None else features
        norms = self._norms[first:last] / 2
        if features.dtype == torch.float32:
            return torch.addmm(norms, query, features[first:last].T, alpha=-1)
        return norms - (query.to(features.dtype) @ features[first:last].T)

    def _doubt(self, query: Tensor, dtype: torch.dtype) -> Tensor:
        """How far apart halves must be for rounding not to have turned them round: [B, 1].

        The bound of a dot product of D terms (Higham, Accuracy and Stability of Numerical Algorithms, 3.1) for each of
        two items, for the norms and for the distances themselves; a product of another dtype rounds both factors and
        the result besides.
        """
        unit = (self.features.shape[1] + 8) * torch.finfo(torch.float32).eps
        if dtype != torch.float32:
            unit += 2 * torch.finfo(dtype).eps
        return unit * (query.norm(dim=1, keepdim=True) + self._reach).square()

    def _between(self, query: Tensor, rows: Tensor, items: Tensor) -> Tensor:
        """The squared distances of pairs of ``rows`` of the queries and items, as published: [P]."""
        pairs = max(1, self._memory // (BYTES * query.shape[1]))
        parts = zip(rows.split(pairs), items.split(pairs), strict=True)
        return torch.cat([(self.features[item] - query[row]).square_().sum(1) for row, item in parts])

    def _chunks(self, queries: int) -> Iterator[tuple[int, int]]:
        """Ranges of items whose distances from so many queries fit into the memory."""
        step = max(1, self._memory // (BYTES * max(1, queries)))
        return ((first, min(first + step, len(self))) for first in range(0, len(self), step))


class FaissIndex(Index):
    """An index whose ``nearest`` and ``top`` are approximate, by faiss on the CPU; ranks and distances stay exact.

    ``ivf`` looks into ``effort`` of some 4 sqrt(N) cells, ``hnsw`` walks a graph with so many candidates in hand.
    """

    def __init__(self, features: Tensor, kind: str = "ivf", effort: int | None = None) -> None:
        super().__init__(features)
        faiss = backends.faiss()
        count, width = self.features.shape
        if kind == "ivf":
            cells = max(1, min(int(4 * count**0.5), count // 39))  # faiss wants 39 items a cell to train on
            self._faiss: Any = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, cells)
            self._faiss.nprobe = effort or 32
        else:
            self._faiss = faiss.IndexHNSWFlat(width, 32)
            self._faiss.hnsw.efSearch = effort or 128
        stored = self.features.cpu().numpy()
        self._faiss.train(stored)
        self._faiss.add(stored)

    def _top(self, query: Tensor, k: int, excluded: Tensor) -> tuple[Tensor, Tensor]:
        asked = min(k + excluded.shape[1], len(self))
        found, numbers = self._faiss.search(query.cpu().numpy(), asked)
        distances, items = (torch.from_numpy(part).to(query.device) for part in (found, numbers))
        gone = (items < 0) | (items[:, :, None] == excluded[:, None]).any(2)
        distances, order = distances.masked_fill(gone, torch.inf).sort(dim=1, stable=True)
        items = items.masked_fill(gone, -1).gather(1, order)
        missing = (0, max(0, k - asked))
        return (
            torch.nn.functional.pad(items[:, :k], missing, value=-1),
            torch.nn.functional.pad(distances[:, :k], missing, value=torch.inf),
        )


def make_index(features: Tensor, kind: str = "exact") -> Index:
    """An index of ``features`` ``[N, D]``.

    | kind | nearest and top | for |
    | --- | --- | --- |
    | exact | exact | every catalogue |
    | bf16 | exact | hardware that multiplies bfloat16 |
    | ivf, hnsw | approximate | 100,000 items and more on a CPU; `pip install retouch[faiss]` |

    Ranks are exact, whatever the kind. Raises ValueError for another kind and as ``Index`` does.
    """
    if kind in ("ivf", "hnsw"):
        return FaissIndex(features, kind)
    if kind not in ("exact", "bf16"):
        raise ValueError(f"no index {kind!r}: expected exact, bf16, ivf or hnsw")
    return Index(features, torch.bfloat16 if kind == "bf16" else torch.float32)


def judged(distance: Tensor, target: Tensor, excluded: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """By distances ``[B, N]``: the rank of item ``target`` ``[B]``, and the first of the nearest items, ``[B]`` int64.

    The rank counts the items that are nearer, and half of those as near, so that nothing is gained by telling none
    apart. NaN is the furthest. ``excluded`` as in ``Index``; an excluded target is ranked all the same. Item -1 where
    all are excluded.
    """
    distance = distance.nan_to_num(nan=torch.finfo(distance.dtype).max)
    wanted = distance.gather(1, target[:, None])
    distance = _shut_out(distance, _listed(excluded, distance), 0)
    lowest, item = distance.min(1)
    nearer, level = (distance < wanted).sum(1), (distance == wanted).sum(1)
    return nearer + (level - 1).clamp_min(0) // 2, item.where(lowest.isfinite(), -1)


def _listed(excluded: Tensor | None, rows: Tensor) -> Tensor:
    return torch.empty(len(rows), 0, dtype=torch.long, device=rows.device) if excluded is None else excluded


def _shut_out(halves: Tensor, excluded: Tensor, first: int) -> Tensor:
    """``halves`` ``[B, n]`` of the items from ``first`` on, infinite where excluded."""
    places = excluded - first
    inside = (excluded >= 0) & (places >= 0) & (places < halves.shape[1])
    rows = torch.arange(len(halves), device=halves.device)[:, None].expand_as(places)
    halves[rows[inside], places[inside]] = torch.inf
    return halves


def _places(rows: Tensor, count: int) -> Tensor:
    """How many equal ones stand before each of the sorted ``rows`` [P]."""
    begins = torch.searchsorted(rows, torch.arange(count, device=rows.device))
    return torch.arange(len(rows), device=rows.device) - begins[rows]
