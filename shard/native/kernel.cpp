// The Python face of the headers beside it: numpy arrays in, numpy arrays out.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "list_walker.h"
#include "row_sets.h"
#include "scanner.h"

namespace py = pybind11;

namespace {

using oskolok::Span;
using Floats = py::array_t<float, py::array::c_style>;
using Rows = py::array_t<int32_t, py::array::c_style>;
using Keys = py::array_t<int64_t, py::array::c_style>;
using Labels = py::array_t<uint64_t, py::array::c_style>;
using Bits = py::array_t<bool, py::array::c_style>;

constexpr size_t kLong = 16384;  // rows from which a scan lets other threads run; handing over the GIL can cost more than a short one

template <typename T>
py::array_t<T> array_of(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

class Scanner {
 public:
  Scanner(Floats vectors, const std::string& metric, const std::string& instructions)
      : vectors_(std::move(vectors)), scanner_(made(vectors_, metric_of(metric), instructions)) {}

  py::tuple best_of_all(const Floats& query, const Rows& excluded, size_t k) const {
    return best(query, {nullptr, scanner_.rows()}, excluded, k);
  }

  py::tuple best_passing(const Floats& query, const Bits& passes, const Rows& excluded, size_t k) const {
    return best(query, {nullptr, scanner_.rows(), mask(passes)}, excluded, k);
  }

  py::tuple best_listed(const Floats& query, const Rows& rows, const Rows& excluded, size_t k) const {
    return best(query, span(rows), excluded, k);
  }

  py::tuple rank(const Floats& query, const Labels& labels, const Bits& passes, const Rows& excluded, size_t k,
                 size_t spare) const {
    const auto count = static_cast<size_t>(labels.size());
    std::vector<float> own;
    return answer(scanner_.rank(prepared(query, own), labels.data(), count, mask(passes), span(excluded), k, spare));
  }

  Floats scores(const Floats& query, const Rows& rows) const {
    std::vector<float> own;
    const float* vector = prepared(query, own);
    const Span which = span(rows);
    Floats out(static_cast<py::ssize_t>(which.count));
    float* to = out.mutable_data();
    const Unlocked unlocked(which.count);
    scanner_.scores(vector, which.rows, which.count, to);
    return out;
  }

  Floats prepared(const Floats& query) const {
    std::vector<float> own;
    prepared(query, own);
    return own.empty() ? query : Floats(static_cast<py::ssize_t>(own.size()), own.data());
  }

  const char* instructions() const { return scanner_.instructions(); }

 private:
  struct Unlocked {
    explicit Unlocked(size_t rows) {
      if (rows >= kLong) released.emplace();
    }
    std::optional<py::gil_scoped_release> released;
  };

  static oskolok::Scanner made(const Floats& vectors, oskolok::Metric metric, const std::string& instructions) {
    if (vectors.ndim() != 2) throw std::invalid_argument("vectors must be two-dimensional");
    const auto n = static_cast<size_t>(vectors.shape(0)), dim = static_cast<size_t>(vectors.shape(1));
    const float* x = vectors.data();
    for (const oskolok::Instructions& with : oskolok::supported_instructions())
      if (instructions.empty() || instructions == with.name) {
        const Unlocked unlocked(n);
        return {x, n, dim, metric, with};
      }
    throw std::invalid_argument("this CPU does not have " + instructions);
  }

  static oskolok::Metric metric_of(const std::string& name) {
    if (name == "ip") return oskolok::Metric::kInnerProduct;
    if (name == "cosine") return oskolok::Metric::kCosine;
    if (name == "l2") return oskolok::Metric::kL2;
    throw std::invalid_argument("no metric " + name);
  }

  static Span span(const Rows& rows) { return {rows.data(), static_cast<size_t>(rows.size())}; }

  const bool* mask(const Bits& passes) const {
    if (static_cast<size_t>(passes.size()) != scanner_.rows()) throw std::invalid_argument("a mask of another shard");
    return passes.data();
  }

  const float* prepared(const Floats& query, std::vector<float>& own) const {
    if (query.ndim() != 1 || static_cast<size_t>(query.shape(0)) != scanner_.dim())
      throw oskolok::BadQuery("the vector has shape " + std::string(py::str(query.attr("shape"))) + ", the space has " +
                              std::to_string(scanner_.dim()) + " dimensions");
    return scanner_.prepared(query.data(), own);
  }

  py::tuple best(const Floats& query, const Span& among, const Rows& excluded, size_t k) const {
    std::vector<float> own;
    const float* vector = prepared(query, own);
    const Span gone = span(excluded);
    std::vector<uint64_t> ranks;
    {
      const Unlocked unlocked(among.count);
      ranks = scanner_.best(vector, among, gone, k);
    }
    return answer(ranks);
  }

  static py::tuple answer(const std::vector<uint64_t>& ranks) {
    Rows rows(static_cast<py::ssize_t>(ranks.size()));
    Floats scores(static_cast<py::ssize_t>(ranks.size()));
    int32_t* row = rows.mutable_data();
    float* score = scores.mutable_data();
    for (size_t i = 0; i < ranks.size(); ++i) {
      const oskolok::Hit hit = oskolok::hit_of(ranks[i]);
      row[i] = hit.row;
      score[i] = hit.score;
    }
    return py::make_tuple(std::move(rows), std::move(scores));
  }

  Floats vectors_;  // keeps the memory alive
  oskolok::Scanner scanner_;
};

class ListWalker {
 public:
  // Everything a walk relies on is seen to here, once.
  ListWalker(Keys indptr, Rows rows, Floats scores, int32_t n_rows)
      : indptr_(std::move(indptr)), rows_(std::move(rows)), scores_(std::move(scores)), n_rows_(n_rows) {
    const int64_t* starts = indptr_.data();
    const auto n_lists = static_cast<size_t>(indptr_.size()) - 1;
    if (indptr_.size() == 0 || starts[0] != 0 || starts[n_lists] != rows_.size() || rows_.size() != scores_.size())
      throw std::invalid_argument("indptr must cover every entry");
    for (size_t list = 0; list < n_lists; ++list) {
      if (starts[list + 1] < starts[list]) throw std::invalid_argument("indptr must not descend");
      for (int64_t at = starts[list]; at < starts[list + 1]; ++at) {
        const int32_t row = rows_.data()[at];
        const float score = scores_.data()[at];
        if (row < 0 || row >= n_rows) throw std::invalid_argument("the lists hold rows that do not exist");
        if (!std::isfinite(score) || (at > starts[list] && score > scores_.data()[at - 1]))
          throw std::invalid_argument("scores of a list must be finite and descend");
      }
    }
  }

  std::optional<py::tuple> best(const std::vector<size_t>& lists, const std::vector<float>& weights, const Bits& passes,
                                const Rows& excluded, size_t k, size_t entries_max) const {
    if (lists.size() != weights.size()) throw std::invalid_argument("a weight for every list");
    if (passes.size() != n_rows_) throw std::invalid_argument("a mask of another shard");
    std::vector<oskolok::Unseen> unseen;
    for (size_t i = 0; i < lists.size(); ++i) {
      if (lists[i] + 1 >= static_cast<size_t>(indptr_.size())) throw std::out_of_range("a list beyond the lists");
      if (!(weights[i] >= 0) || !std::isfinite(weights[i])) throw std::invalid_argument("weights must be finite, not negative");
      const int64_t begin = indptr_.data()[lists[i]], end = indptr_.data()[lists[i] + 1];
      unseen.push_back({rows_.data() + begin, scores_.data() + begin, scores_.data() + end, weights[i]});
    }
    std::vector<oskolok::Hit> hits;
    const Span gone{excluded.data(), static_cast<size_t>(excluded.size())};
    if (!oskolok::walk(unseen, passes.data(), gone, k, entries_max, hits)) return std::nullopt;
    Rows rows(static_cast<py::ssize_t>(hits.size()));
    Floats scores(static_cast<py::ssize_t>(hits.size()));
    for (size_t i = 0; i < hits.size(); ++i) {
      rows.mutable_data()[i] = hits[i].row;
      scores.mutable_data()[i] = hits[i].score;
    }
    return py::make_tuple(std::move(rows), std::move(scores));
  }

 private:
  Keys indptr_;
  Rows rows_;
  Floats scores_;
  py::ssize_t n_rows_;
};

py::tuple united(const std::vector<Rows>& parts) {
  std::vector<int32_t> joined;
  for (const Rows& part : parts) joined.insert(joined.end(), part.data(), part.data() + part.size());
  Rows members(static_cast<py::ssize_t>(joined.size()));
  const std::vector<int32_t> rows = oskolok::united(joined, members.mutable_data());
  return py::make_tuple(array_of(rows), std::move(members));
}

py::tuple located(const Keys& keys, const Keys& wanted) {
  const auto n = static_cast<size_t>(keys.size());
  std::vector<int64_t> places, which;
  for (py::ssize_t i = 0; i < wanted.size(); ++i) {
    const size_t place = oskolok::place_of(keys.data(), n, wanted.data()[i]);
    if (place == n) continue;
    places.push_back(static_cast<int64_t>(place));
    which.push_back(i);
  }
  return py::make_tuple(array_of(places), array_of(which));
}

}  // namespace

PYBIND11_MODULE(_kernel, module) {
  module.doc() = "What a shard computes outside Python. Used through the modules of shard/ that say what it promises.";
  module.def("supported", [] {
    std::vector<std::string> names;
    for (const oskolok::Instructions& with : oskolok::supported_instructions()) names.emplace_back(with.name);
    return names;
  });
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const oskolok::BadQuery& error) {
      py::set_error(py::module_::import("cluster.errors").attr("InvalidQuery"), error.what());
    }
  });
  py::class_<Scanner>(module, "Scanner")
      .def(py::init<Floats, std::string, std::string>(), py::arg("vectors"), py::arg("metric"), py::arg("instructions") = "")
      .def("best_of_all", &Scanner::best_of_all, py::arg("query"), py::arg("excluded"), py::arg("k"))
      .def("best_passing", &Scanner::best_passing, py::arg("query"), py::arg("passes"), py::arg("excluded"), py::arg("k"))
      .def("best_listed", &Scanner::best_listed, py::arg("query"), py::arg("rows"), py::arg("excluded"), py::arg("k"))
      .def("rank", &Scanner::rank, py::arg("query"), py::arg("labels"), py::arg("passes"), py::arg("excluded"), py::arg("k"),
           py::arg("spare"))
      .def("scores", &Scanner::scores, py::arg("query"), py::arg("rows"))
      .def("prepared", py::overload_cast<const Floats&>(&Scanner::prepared, py::const_), py::arg("query"))
      .def_property_readonly("instructions", &Scanner::instructions);
  py::class_<ListWalker>(module, "ListWalker")
      .def(py::init<Keys, Rows, Floats, int32_t>(), py::arg("indptr"), py::arg("rows"), py::arg("scores"), py::arg("n_rows"))
      .def("best", &ListWalker::best, py::arg("lists"), py::arg("weights"), py::arg("passes"), py::arg("excluded"),
           py::arg("k"), py::arg("entries_max"));
  module.def("united", &united, py::arg("parts"));
  module.def("located", &located, py::arg("keys"), py::arg("wanted"));
}
