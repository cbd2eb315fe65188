// The best rows of several ranked lists at once: a row scores the largest of weight x score over the lists that hold it.
//
// The lists are merged from their heads, one score after the other. A row found at one score cannot score more elsewhere,
// because a list's weighted scores never rise; so a walk sees little more than the rows it returns and those it must skip.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "scanner.h"

namespace oskolok {

// One list's entries that were not yet seen. scores descend; among equal scores rows ascend.
struct Unseen {
  const int32_t* rows;
  const float* scores;
  const float* end;
  float weight;

  bool any() const { return scores < end; }
  float head() const { return *scores * weight; }

  void drop() { ++rows, ++scores; }

  // The entries that score like the head.
  void drop_run() {
    const float score = *scores;
    const float* const next = std::partition_point(scores, end, [score](float other) { return other == score; });
    rows += next - scores;
    scores = next;
  }
};

// At most `capacity` rows.
class RowSet {
 public:
  explicit RowSet(size_t capacity) {
    size_t slots = 16;
    while (slots < 2 * capacity) slots *= 2;
    rows_.assign(slots, -1);
  }
  bool has(int32_t row) const { return rows_[slot(row)] == row; }
  void add(int32_t row) { rows_[slot(row)] = row; }

 private:
  // Where the row is, or would be.
  size_t slot(int32_t row) const {
    const size_t last = rows_.size() - 1;
    size_t at = (static_cast<uint32_t>(row) * 0x9E3779B1u >> 7) & last;
    while (rows_[at] != -1 && rows_[at] != row) at = (at + 1) & last;
    return at;
  }
  std::vector<int32_t> rows_;
};

// Appends the k best rows that pass and are not gone, best first: score descending, then row ascending. Fewer if the lists
// end. False, and `best` means nothing, if that took more than `entries_max` entries.
inline bool walk(std::vector<Unseen>& lists, const bool* passes, const Span& gone, size_t k, size_t entries_max,
                 std::vector<Hit>& best) {
  RowSet taken(k);
  std::vector<int32_t> tied;
  size_t seen = 0;
  while (best.size() < k) {
    const Unseen* highest = nullptr;
    for (const Unseen& list : lists)
      if (list.any() && (!highest || list.head() > highest->head())) highest = &list;
    if (!highest) break;
    const float score = highest->head();
    const size_t room = k - best.size();
    tied.clear();
    for (Unseen& list : lists) {
      // Weighting rounds, and may tie several runs of equal scores; rows ascend within one only.
      while (list.any() && list.head() == score) {
        const float run = *list.scores;
        const size_t before = tied.size();
        while (list.any() && *list.scores == run) {
          if (tied.size() - before == room) {  // the rest of the run stands behind these
            list.drop_run();
            break;
          }
          if (++seen > entries_max) return false;
          const int32_t row = *list.rows;
          if (passes[row] && !gone.has(row) && !taken.has(row)) tied.push_back(row);
          list.drop();
        }
      }
    }
    if (tied.size() > 1) {
      std::sort(tied.begin(), tied.end());
      tied.erase(std::unique(tied.begin(), tied.end()), tied.end());
    }
    for (size_t i = 0; i < tied.size() && i < room; ++i) {
      best.push_back({score + 0.0f, tied[i]});  // -0 becomes 0
      taken.add(tied[i]);
    }
  }
  return true;
}

}  // namespace oskolok
