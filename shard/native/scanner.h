// The exact scan: the k best of some rows of a float32 matrix by inner product or by negative squared distance.
//
// Every vector is kept a second time in 8 bits a coordinate. A scan reads only those, 64 coordinates an instruction where
// the CPU has VNNI, and knows how far such a score can be from the true one: by Cauchy-Schwarz, the length of the longest
// rounding error times the length of the query, plus what rounding the query costs. Rows that could still be among the k
// best within twice that bound, some hundreds, are scored again from the float32 vectors. So the answer is exact.
//
// A true score is the float32 nearest to the sum in double precision. Products of two float32 are exact in double, so
// such a score does not depend on the CPU, on the rows beside it or on how rows are split over shards.
//
// Read-only after construction: any number of threads may search.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "instructions.h"

namespace oskolok {

constexpr size_t kShort = 256;   // so many are sorted by looking at every pair
constexpr size_t kFewGone = 64;  // more exclusions than this are taken out of the list beforehand

struct Hit {
  float score;
  int32_t row;
};

// The one score order of a shard, score descending, then row ascending (rows ascend with keys), as one ascending integer:
// comparing integers sorts twice as fast as comparing pairs.
inline uint64_t rank_of(const Hit& hit) {
  int32_t bits;
  std::memcpy(&bits, &hit.score, sizeof bits);
  if (hit.score == 0) bits = 0;  // -0 ties with 0
  const auto ascending = static_cast<uint32_t>(bits < 0 ? ~bits : bits ^ std::numeric_limits<int32_t>::min());
  return static_cast<uint64_t>(~ascending) << 32 | static_cast<uint32_t>(hit.row);
}

inline Hit hit_of(uint64_t rank) {
  const auto ascending = ~static_cast<uint32_t>(rank >> 32);
  const auto bits = static_cast<int32_t>(ascending);
  const int32_t back = bits < 0 ? bits ^ std::numeric_limits<int32_t>::min() : ~bits;
  Hit hit{0, static_cast<int32_t>(static_cast<uint32_t>(rank))};
  std::memcpy(&hit.score, &back, sizeof back);
  return hit;
}

// A value that at least `rank` of the scores reach, and few more do: minus infinity if fewer than that are finite.
// Bisection by counting: on some hundreds of scores it takes a tenth of the time of nth_element, whose branches are coin tosses.
inline float reached_by(const std::vector<float>& scores, size_t rank) {
  const auto count = [&](float bound) {
    int32_t reach = 0;
    for (const float score : scores) reach += score >= bound;
    return static_cast<size_t>(reach);
  };
  float low = std::numeric_limits<float>::max(), high = std::numeric_limits<float>::lowest();
  for (const float score : scores) {
    low = score < low && score > kNever ? score : low;
    high = score > high ? score : high;
  }
  if (count(low) < rank) return kNever;
  for (int step = 0; step < 24; ++step) {
    const float middle = low + (high - low) / 2;
    const size_t reach = count(middle);
    (reach >= rank ? low : high) = middle;
    if (reach >= rank && reach <= rank + rank / 16) break;
  }
  return low;
}

// Maxima over fewer and larger groups, for `rank` of which a bound is wanted: so many that they hardly meet in a group.
inline std::vector<float> folded(const std::vector<float>& peaks, size_t rank) {
  const size_t columns = std::min(peaks.size(), 6 * rank);
  std::vector<float> best(peaks.begin(), peaks.begin() + static_cast<std::ptrdiff_t>(columns));
  for (size_t at = columns; at < peaks.size(); at += columns) {
    const size_t here = std::min(columns, peaks.size() - at);
    for (size_t j = 0; j < here; ++j) best[j] = peaks[at + j] > best[j] ? peaks[at + j] : best[j];
  }
  return best;
}

// How many groups of rows a tile is divided into. The larger the groups, the fewer peaks to look at afterwards, and the more
// rows in the groups that reach the bound, some twice the rank, to score again; groups of one need no second look.
inline size_t columns_for(size_t count, size_t rank) {
  if (count < 6 * rank + kTile) return kTile;
  return count < 400 * rank ? 64 : count < 1600 * rank ? 32 : 16;
}

// Rows to choose among: those listed, ascending; or the first `count`, of which only those with passes[row] if that is given.
struct Span {
  const int32_t* rows = nullptr;
  size_t count = 0;
  const bool* passes = nullptr;
  int32_t row(size_t i) const { return rows ? rows[i] : static_cast<int32_t>(i); }
  bool has(int32_t row) const { return count && std::binary_search(rows, rows + count, row); }
};

inline std::vector<int32_t> without(const Span& among, const Span& gone) {
  std::vector<int32_t> rest;
  rest.reserve(among.count);
  for (size_t i = 0, next = 0; i < among.count; ++i) {
    const int32_t row = among.row(i);
    if (among.passes && !among.passes[row]) continue;
    while (next < gone.count && gone.rows[next] < row) ++next;
    if (next == gone.count || gone.rows[next] != row) rest.push_back(row);
  }
  return rest;
}

struct Query {
  const float* vector;
  double length;
  std::vector<int8_t> codes;
  double unit = 0;   // what one unit of a code product is worth
  double error = 0;  // bound of |approximate - true|, in units of the approximate scores
  int32_t offset = 0;
};

enum class Metric { kInnerProduct, kCosine, kL2 };

// A query that cannot be answered, through no fault of ours.
struct BadQuery : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Scanner {
 public:
  // vectors: n rows of dim, of unit length (or zero) under cosine, which must outlive the scanner.
  Scanner(const float* vectors, size_t n, size_t dim, Metric metric, const Instructions& with)
      : with_(with), x_(vectors), n_(n), dim_(dim), blocks_((dim + kBlock - 1) / kBlock), cosine_(metric == Metric::kCosine),
        l2_(metric == Metric::kL2) {
    if (dim == 0 || dim > 65536) throw std::invalid_argument("1 to 65536 dimensions");
    if (n > static_cast<size_t>(std::numeric_limits<int32_t>::max())) throw std::invalid_argument("rows must fit int32");
    encode();
  }

  // The k best of some rows, best first. gone: rows not to return, each of which could be returned otherwise.
  std::vector<uint64_t> best(const float* query, const Span& among, const Span& gone, size_t k) const {
    if (gone.count <= kFewGone) return scan(query, among, gone, k);
    const std::vector<int32_t> rest = without(among, gone);
    return scan(query, {rest.data(), rest.size()}, {}, k);
  }

  // The k best of those among the first k + spare labels that pass and are not gone.
  std::vector<uint64_t> rank(const float* query, const uint64_t* labels, size_t count, const bool* passes, const Span& gone,
                             size_t k, size_t spare) const {
    std::vector<int32_t> kept;
    kept.reserve(k + spare);
    for (size_t i = 0; i < count && kept.size() < k + spare; ++i) {
      if (labels[i] >= n_) throw std::out_of_range("a label beyond the rows");
      const auto row = static_cast<int32_t>(labels[i]);
      if (passes[row] && !gone.has(row)) kept.push_back(row);
    }
    return best_of(query, kept, k);
  }

  void scores(const float* query, const int32_t* rows, size_t count, float* to) const {
    const std::vector<double> wide(query, query + dim_);
    for (size_t i = 0; i < count; ++i) {
      if (rows[i] < 0 || static_cast<size_t>(rows[i]) >= n_) throw std::out_of_range("a row beyond the rows");
      to[i] = score(wide.data(), rows[i]);
    }
  }

  // The query as all other functions take it: as it is, or, under cosine, brought to unit length in `own`. BadQuery unless it
  // is finite and so short that a score is a float32.
  const float* prepared(const float* query, std::vector<float>& own) const {
    double square = 0;
    for (size_t j = 0; j < dim_; ++j) square += static_cast<double>(query[j]) * query[j];
    const double limit = std::sqrt(std::numeric_limits<float>::max() / 16.0) - longest_;
    if (!(square <= limit * limit)) throw BadQuery("the vector is not finite, or longer than " + std::to_string(limit));
    if (!cosine_ || square == 0 || std::fabs(square - 1) < 1e-6) return query;  // rounding a normalised vector leaves as much
    own.resize(dim_);
    for (size_t j = 0; j < dim_; ++j) own[j] = static_cast<float>(query[j] / std::sqrt(square));
    return own.data();
  }

  size_t rows() const { return n_; }
  size_t dim() const { return dim_; }
  const char* instructions() const { return with_.name; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  // One scale a coordinate, so that a coordinate with small values keeps its digits.
  void encode() {
    std::vector<float> largest(dim_, 0.0f);
    for (size_t i = 0; i < n_; ++i)
      for (size_t j = 0; j < dim_; ++j) largest[j] = std::max(largest[j], std::fabs(x_[i * dim_ + j]));
    scale_.assign(dim_, 0.0f);
    std::vector<float> inverse(dim_, 0.0f);
    for (size_t j = 0; j < dim_; ++j) {
      scale_[j] = largest[j] / 127.0f;
      if (scale_[j] > 0 && std::isfinite(1.0f / scale_[j])) inverse[j] = 1.0f / scale_[j];
    }
    const size_t pitch = blocks_ * kBlock, huge = size_t{2} << 20;
    const size_t bytes = std::max((n_ * pitch + huge - 1) / huge * huge, huge);
    codes_.reset(static_cast<uint8_t*>(std::aligned_alloc(huge, bytes)));
    if (!codes_) throw std::bad_alloc();
#ifdef __linux__
    madvise(codes_.get(), bytes, MADV_HUGEPAGE);  // a scan would otherwise wait for address translation
#endif
    std::memset(codes_.get(), kZero, n_ * pitch);
    if (l2_) half_.resize(n_);
    double worst = 0, longest = 0, longest_code = 0;
    for (size_t i = 0; i < n_; ++i) {
      const float* x = x_ + i * dim_;
      uint8_t* code = codes_.get() + i * pitch;
      double error = 0, square = 0, code_square = 0;
      for (size_t j = 0; j < dim_; ++j) {
        const double c = std::nearbyint(static_cast<double>(x[j]) * inverse[j]);
        const double rest = x[j] - c * scale_[j];
        code[j] = static_cast<uint8_t>(static_cast<int32_t>(c) + kZero);
        error += rest * rest;
        square += static_cast<double>(x[j]) * x[j];
        code_square += c * c;
      }
      if (l2_) half_[i] = static_cast<float>(square / 2);
      worst = std::max(worst, error);
      longest = std::max(longest, square);
      longest_code = std::max(longest_code, code_square);
    }
    code_error_ = std::sqrt(worst);
    longest_ = std::sqrt(longest);
    longest_code_ = std::sqrt(longest_code);
  }

  Query encoded(const float* vector) const {
    Query q{vector, 0, std::vector<int8_t>(blocks_ * kBlock, 0)};
    double square = 0, largest = 0;
    for (size_t j = 0; j < dim_; ++j) {
      square += static_cast<double>(vector[j]) * vector[j];
      largest = std::max(largest, std::fabs(static_cast<double>(vector[j]) * scale_[j]));
    }
    q.length = std::sqrt(square);
    q.unit = largest > 0 ? largest / 127 : 1;
    double lost = 0;
    for (size_t j = 0; j < dim_; ++j) {
      const double scaled = static_cast<double>(vector[j]) * scale_[j], c = std::nearbyint(scaled / q.unit);
      q.codes[j] = static_cast<int8_t>(c);
      lost += (scaled - c * q.unit) * (scaled - c * q.unit);
    }
    // The last term covers float32 roundings: of the true scores, and under l2 of the approximate ones.
    for (const int8_t c : q.codes) q.offset += kZero * c;
    const double extent = l2_ ? (longest_ + q.length) * (longest_ + q.length) : longest_ * q.length;
    q.error = (code_error_ * q.length + longest_code_ * std::sqrt(lost) + extent * 0x1p-20) / (l2_ ? 1 : q.unit);
    return q;
  }

  // Approximate scores of `count` rows from the at-th, a tile at most; the rest of the tile scores minus infinity.
  void approximate(const Query& q, const Span& among, size_t at, size_t count, float* scores) const {
    int32_t products[kTile];
    float half[kTile];
    const int32_t* listed = among.rows ? among.rows + at : nullptr;
    with_.code_dots({codes_.get(), blocks_, listed, at, among.count - at}, q.codes.data(), count, products);
    Terms terms{q.offset, static_cast<float>(q.unit), nullptr, among.passes ? among.passes + at : nullptr};
    if (l2_) terms.half = listed ? half : half_.data() + at;
    if (l2_ && listed)
      for (size_t i = 0; i < count; ++i) half[i] = half_[static_cast<size_t>(listed[i])];
    with_.tile_scores(products, terms, count, scores);
  }

  // The best score of each group of rows: a tile's columns, kTile / columns rows each. The groups of the last tile may be empty.
  void peaks(const Query& q, const Span& among, size_t columns, std::vector<float>& best) const {
    best.resize((among.count + kTile - 1) / kTile * columns);
    float scores[kTile];
    for (size_t at = 0; at < among.count; at += kTile) {
      approximate(q, among, at, std::min(kTile, among.count - at), scores);
      with_.tile_peaks(scores, columns, best.data() + at / kTile * columns);
    }
  }

  std::vector<uint64_t> scan(const float* vector, const Span& among, const Span& gone, size_t k) const {
    const size_t rank = k + gone.count;  // what is gone can have raised the bound by no more than its own number of ranks
    if (among.count <= 3 * rank) return best_of(vector, without(among, gone), k);
    const Query q = encoded(vector);
    const auto slack = static_cast<float>(2 * q.error);
    const size_t columns = columns_for(among.count, rank);
    static thread_local std::vector<float> best;  // kept, because fresh memory costs more than filling it
    peaks(q, among, columns, best);
    std::vector<int32_t> left = reaching(best, columns, reached_by(folded(best, rank), rank) - slack, among, gone);
    if (columns < kTile && left.size() > k) {
      std::vector<float> scores((left.size() + kTile - 1) / kTile * kTile);
      for (size_t at = 0; at < left.size(); at += kTile)
        approximate(q, {left.data(), left.size()}, at, std::min(kTile, left.size() - at), scores.data() + at);
      keep_reaching(left, scores, reached_by(scores, k) - slack);
    }
    return best_of(vector, left, k);
  }

  // The eligible rows of all groups whose best score reaches the bound.
  static std::vector<int32_t> reaching(const std::vector<float>& best, size_t columns, float bound, const Span& among,
                                       const Span& gone) {
    std::vector<int32_t> rows;
    if (columns == kTile && !among.passes && !gone.count) {
      rows.resize(among.count);
      for (size_t i = 0; i < among.count; ++i) rows[i] = among.row(i);
      keep_reaching(rows, best, bound);
      return rows;
    }
    for (size_t group = 0; group < best.size(); ++group) {
      if (best[group] < bound) continue;
      const size_t tile = group / columns * kTile, end = std::min(among.count, tile + kTile);
      for (size_t i = tile + group % columns; i < end; i += columns) {
        const int32_t row = among.row(i);
        if ((!among.passes || among.passes[row]) && !gone.has(row)) rows.push_back(row);
      }
    }
    return rows;
  }

  // Without branches, because whether a row is kept is a coin toss.
  static void keep_reaching(std::vector<int32_t>& rows, const std::vector<float>& scores, float bound) {
    size_t kept = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[kept] = rows[i];
      kept += scores[i] >= bound;
    }
    rows.resize(kept);
  }

  // The ranks of the k best of some rows by their true scores, best first.
  std::vector<uint64_t> best_of(const float* vector, const std::vector<int32_t>& rows, size_t k) const {
    const std::vector<double> wide(vector, vector + dim_);
    std::vector<float> scores(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i + kAhead / 2 < rows.size()) {
        const float* next = x_ + static_cast<size_t>(rows[i + kAhead / 2]) * dim_;
        for (size_t j = 0; j < dim_; j += 16) __builtin_prefetch(next + j);
      }
      scores[i] = score(wide.data(), rows[i]);
    }
    std::vector<uint64_t> ranks(rows.size());
    const float bound = rows.size() > k ? reached_by(scores, k) : kNever;
    size_t kept = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      ranks[kept] = rank_of({scores[i], rows[i]});
      kept += scores[i] >= bound;
    }
    ranks.resize(kept);
    if (kept > kShort) {
      std::sort(ranks.begin(), ranks.end());
    } else {
      std::vector<uint64_t> sorted(kept);
      with_.sort_short(ranks.data(), kept, sorted.data());
      ranks.swap(sorted);
    }
    ranks.resize(std::min(kept, k));
    return ranks;
  }

  float score(const double* vector, int32_t row) const {
    const float* x = x_ + static_cast<size_t>(row) * dim_;
    return static_cast<float>(l2_ ? -with_.squared_differences(x, vector, dim_) : with_.products(x, vector, dim_));
  }

  Instructions with_;
  const float* x_;
  size_t n_, dim_, blocks_;
  bool cosine_, l2_;
  std::unique_ptr<uint8_t[], Free> codes_;
  std::vector<float> scale_, half_;
  double code_error_ = 0, longest_ = 0, longest_code_ = 0;
};

}  // namespace oskolok
