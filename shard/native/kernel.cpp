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
// Read-only after construction: any number of threads may search, and none holds the GIL while it does.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "dots.h"

namespace py = pybind11;

namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Rows = py::array_t<int32_t, py::array::c_style>;
using Labels = py::array_t<uint64_t, py::array::c_style>;
using Bits = py::array_t<bool, py::array::c_style>;

using namespace oskolok;

constexpr size_t kTile = 256;    // rows scored at once; of every kTile / columns only the best score is kept
constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr size_t kFewGone = 64;  // more exclusions than this are taken out of the list beforehand

struct Hit {
  float score;
  int32_t row;
};

// The one score order of a shard: rows ascend with keys.
inline bool before(const Hit& a, const Hit& b) { return a.score > b.score || (a.score == b.score && a.row < b.row); }

inline bool above(float a, float b) { return a > b; }

// A score that at least `rank` of the rows reach, a little below the rank-th best: the rank-th best of some hundreds of
// maxima over disjoint groups of rows. peaks: at least `rank` group maxima.
float reached_by(const std::vector<float>& peaks, size_t rank) {
  const size_t columns = std::min(peaks.size(), 6 * rank);  // expect a twelfth more rows than asked for
  std::vector<float> best(peaks.begin(), peaks.begin() + static_cast<std::ptrdiff_t>(columns));
  for (size_t at = columns; at < peaks.size(); at += columns) {
    const size_t here = std::min(columns, peaks.size() - at);
    for (size_t j = 0; j < here; ++j) best[j] = peaks[at + j] > best[j] ? peaks[at + j] : best[j];
  }
  const auto at = best.begin() + static_cast<std::ptrdiff_t>(rank - 1);
  std::nth_element(best.begin(), at, best.end(), above);
  return *at;
}

// Rows to choose among: those listed, ascending; or the first `count`, of which only those with passes[row] if that is given.
struct Span {
  const int32_t* rows = nullptr;
  size_t count = 0;
  const bool* passes = nullptr;
  int32_t row(size_t i) const { return rows ? rows[i] : static_cast<int32_t>(i); }
  bool has(int32_t row) const { return count && std::binary_search(rows, rows + count, row); }
};

std::vector<int32_t> without(const Span& among, const Span& gone) {
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

class Scanner {
 public:
  Scanner(Floats vectors, bool l2) : vectors_(std::move(vectors)), l2_(l2), with_(best_instructions()) {
    if (vectors_.ndim() != 2) throw std::invalid_argument("vectors must be two-dimensional");
    n_ = static_cast<size_t>(vectors_.shape(0));
    dim_ = static_cast<size_t>(vectors_.shape(1));
    if (dim_ == 0 || dim_ > 65536) throw std::invalid_argument("1 to 65536 dimensions");
    if (n_ > static_cast<size_t>(std::numeric_limits<int32_t>::max())) throw std::invalid_argument("rows must fit int32");
    blocks_ = (dim_ + kBlock - 1) / kBlock;
    x_ = vectors_.data();
    py::gil_scoped_release released;
    encode();
  }

  py::tuple best_listed(const Floats& query, const Rows& rows, const Rows& excluded, size_t k) const {
    return best(query, span(rows), excluded, k);
  }

  py::tuple best_passing(const Floats& query, const Bits& passes, const Rows& excluded, size_t k) const {
    if (static_cast<size_t>(passes.size()) != n_) throw std::invalid_argument("a mask of another shard");
    return best(query, {nullptr, n_, passes.data()}, excluded, k);
  }

  py::tuple best_of_all(const Floats& query, const Rows& excluded, size_t k) const {
    return best(query, {nullptr, n_}, excluded, k);
  }
  py::tuple rank(const Floats& query, const Labels& labels, const Bits& passes, const Rows& excluded, size_t k,
                 size_t spare) const {
    check(query);
    if (static_cast<size_t>(passes.size()) != n_) throw std::invalid_argument("a mask of another shard");
    const uint64_t* label = labels.data();
    const bool* pass = passes.data();
    const Span gone = span(excluded);
    std::vector<Hit> hits;
    {
      py::gil_scoped_release released;
      std::vector<int32_t> kept;
      kept.reserve(k + spare);
      for (py::ssize_t i = 0; i < labels.size() && kept.size() < k + spare; ++i) {
        if (label[i] >= n_) throw std::out_of_range("a label beyond the rows");
        const auto row = static_cast<int32_t>(label[i]);
        if (pass[row] && !gone.has(row)) kept.push_back(row);
      }
      hits = scored(query.data(), kept);
      order(hits, k);
    }
    return answer(hits);
  }

  Floats scores(const Floats& query, const Rows& rows) const {
    check(query);
    Floats out(rows.size());
    float* to = out.mutable_data();
    const int32_t* row = rows.data();
    const py::ssize_t count = rows.size();
    py::gil_scoped_release released;
    for (py::ssize_t i = 0; i < count; ++i) {
      if (row[i] < 0 || static_cast<size_t>(row[i]) >= n_) throw std::out_of_range("a row beyond the rows");
      to[i] = score(query.data(), row[i]);
    }
    return out;
  }

  const char* instructions() const { return with_.name; }

 private:
  py::tuple best(const Floats& query, const Span& among, const Rows& excluded, size_t k) const {
    check(query);
    const Span gone = span(excluded);
    std::vector<Hit> hits;
    {
      py::gil_scoped_release released;
      std::vector<int32_t> rest;
      if (gone.count > kFewGone) rest = without(among, gone);
      const Span left = rest.empty() ? among : Span{rest.data(), rest.size()};
      hits = scan(query.data(), left, rest.empty() ? gone : Span{}, k);
      order(hits, k);
    }
    return answer(hits);
  }

  static Span span(const Rows& rows) { return {rows.data(), static_cast<size_t>(rows.size())}; }

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  void check(const Floats& query) const {
    if (query.ndim() != 1 || static_cast<size_t>(query.shape(0)) != dim_) throw std::invalid_argument("a query of another size");
  }

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

  // Approximate scores of `count` rows from the at-th: products of codes, under l2 made comparable.
  void approximate(const Query& q, const Span& among, size_t at, size_t count, float* scores) const {
    int32_t products[kTile];
    const int32_t* listed = among.rows ? among.rows + at : nullptr;
    with_.code_dots({codes_.get(), blocks_, listed, at, among.count - at}, q.codes.data(), count, products);
    for (size_t i = 0; i < count; ++i) scores[i] = static_cast<float>(products[i] - q.offset);
    if (l2_) {
      const auto unit = static_cast<float>(q.unit);
      if (among.rows)
        for (size_t i = 0; i < count; ++i) scores[i] = scores[i] * unit - half_[static_cast<size_t>(listed[i])];
      else
        for (size_t i = 0; i < count; ++i) scores[i] = scores[i] * unit - half_[at + i];
    }
    if (among.passes) {
      const bool* passes = among.passes + at;
      for (size_t i = 0; i < count; ++i) scores[i] = passes[i] ? scores[i] : kNever;
    }
  }

  // The best score of each group of rows: a tile's columns, kTile / columns rows each. The groups of the last tile may be empty.
  std::vector<float> peaks(const Query& q, const Span& among, size_t columns) const {
    std::vector<float> best((among.count + kTile - 1) / kTile * columns);
    float scores[kTile];
    for (size_t at = 0; at < among.count; at += kTile) {
      const size_t here = std::min(kTile, among.count - at);
      approximate(q, among, at, here, scores);
      std::fill(scores + here, scores + kTile, kNever);
      float* column = best.data() + at / kTile * columns;
      std::copy(scores, scores + columns, column);
      for (size_t line = columns; line < kTile; line += columns)
        for (size_t j = 0; j < columns; ++j) column[j] = scores[line + j] > column[j] ? scores[line + j] : column[j];
    }
    return best;
  }

  std::vector<Hit> scan(const float* vector, const Span& among, const Span& gone, size_t k) const {
    const size_t rank = k + gone.count;  // what is gone can have raised the bound by no more than its own number of ranks
    if (among.count < 6 * rank + kTile) return scored(vector, without(among, gone));
    const Query q = encoded(vector);
    const auto slack = static_cast<float>(2 * q.error);
    const size_t columns = among.count >= 64 * rank ? 16 : 64;
    const std::vector<float> best = peaks(q, among, columns);
    const float bound = reached_by(best, rank) - slack;
    std::vector<int32_t> left;
    for (size_t group = 0; group < best.size(); ++group) {
      if (best[group] < bound) continue;
      const size_t tile = group / columns * kTile, end = std::min(among.count, tile + kTile);
      for (size_t i = tile + group % columns; i < end; i += columns) {
        const int32_t row = among.row(i);
        if ((!among.passes || among.passes[row]) && !gone.has(row)) left.push_back(row);
      }
    }
    std::vector<Hit> hits;
    float scores[kTile];
    for (size_t at = 0; at < left.size(); at += kTile) {
      const size_t here = std::min(kTile, left.size() - at);
      approximate(q, {left.data(), left.size()}, at, here, scores);
      for (size_t i = 0; i < here; ++i)
        if (scores[i] >= bound) hits.push_back({scores[i], left[at + i]});
    }
    left.clear();
    if (hits.size() > k) {
      const auto kth = hits.begin() + static_cast<std::ptrdiff_t>(k - 1);
      std::nth_element(hits.begin(), kth, hits.end(), before);
      const float reached = kth->score - slack;
      hits.erase(std::remove_if(kth, hits.end(), [reached](const Hit& h) { return h.score < reached; }), hits.end());
    }
    for (const Hit& hit : hits) left.push_back(hit.row);
    return scored(vector, left);
  }

  std::vector<Hit> scored(const float* vector, const std::vector<int32_t>& rows) const {
    std::vector<Hit> hits(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i + kAhead / 2 < rows.size()) {
        const float* next = x_ + static_cast<size_t>(rows[i + kAhead / 2]) * dim_;
        for (size_t j = 0; j < dim_; j += 16) __builtin_prefetch(next + j);
      }
      hits[i] = {score(vector, rows[i]), rows[i]};
    }
    return hits;
  }

  float score(const float* vector, int32_t row) const {
    const float* x = x_ + static_cast<size_t>(row) * dim_;
    return static_cast<float>(l2_ ? -with_.squared_differences(x, vector, dim_) : with_.products(x, vector, dim_));
  }

  static void order(std::vector<Hit>& hits, size_t k) {
    if (hits.size() > k) {
      std::nth_element(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(k), hits.end(), before);
      hits.resize(k);
    }
    std::sort(hits.begin(), hits.end(), before);
  }

  static py::tuple answer(const std::vector<Hit>& hits) {
    Rows rows(static_cast<py::ssize_t>(hits.size()));
    Floats scores(static_cast<py::ssize_t>(hits.size()));
    int32_t* row = rows.mutable_data();
    float* score = scores.mutable_data();
    for (size_t i = 0; i < hits.size(); ++i) {
      row[i] = hits[i].row;
      score[i] = hits[i].score;
    }
    return py::make_tuple(std::move(rows), std::move(scores));
  }

  Floats vectors_;
  bool l2_;
  Instructions with_;
  const float* x_ = nullptr;
  size_t n_ = 0, dim_ = 0, blocks_ = 0;
  std::unique_ptr<uint8_t[], Free> codes_;
  std::vector<float> scale_, half_;
  double code_error_ = 0, longest_ = 0, longest_code_ = 0;
};

}  // namespace

PYBIND11_MODULE(_kernel, module) {
  module.doc() = "Exact scans over float32 vectors; see kernel.cpp. Use through shard/scan.py.";
  py::class_<Scanner>(module, "Scanner")
      .def(py::init<Floats, bool>(), py::arg("vectors"), py::arg("l2"))
      .def("best_of_all", &Scanner::best_of_all, py::arg("query"), py::arg("excluded"), py::arg("k"))
      .def("best_passing", &Scanner::best_passing, py::arg("query"), py::arg("passes"), py::arg("excluded"), py::arg("k"))
      .def("best_listed", &Scanner::best_listed, py::arg("query"), py::arg("rows"), py::arg("excluded"), py::arg("k"))
      .def("rank", &Scanner::rank, py::arg("query"), py::arg("labels"), py::arg("passes"), py::arg("excluded"), py::arg("k"),
           py::arg("spare"))
      .def("scores", &Scanner::scores, py::arg("query"), py::arg("rows"))
      .def_property_readonly("instructions", &Scanner::instructions);
}
