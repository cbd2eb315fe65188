// Small sets of rows and keys: a union with everyone's place in it, and where some keys stand among others.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace oskolok {

// The distinct rows of some that are joined, ascending; members[i] becomes the place of the i-th joined row among them.
inline std::vector<int32_t> united(const std::vector<int32_t>& joined, int32_t* members) {
  std::vector<uint64_t> places(joined.size());
  for (size_t i = 0; i < joined.size(); ++i) places[i] = static_cast<uint64_t>(static_cast<uint32_t>(joined[i])) << 32 | i;
  std::sort(places.begin(), places.end());
  std::vector<int32_t> rows;
  rows.reserve(joined.size());
  for (const uint64_t place : places) {
    const auto row = static_cast<int32_t>(place >> 32);
    if (rows.empty() || rows.back() != row) rows.push_back(row);
    members[static_cast<uint32_t>(place)] = static_cast<int32_t>(rows.size() - 1);
  }
  return rows;
}

// The place of a key among n ascending ones, n if it is not there. Without branches, which would be coin tosses.
inline size_t place_of(const int64_t* keys, size_t n, int64_t key) {
  if (n == 0) return n;
  const int64_t* low = keys;
  for (size_t length = n; length > 1; length -= length / 2) low += low[length / 2 - 1] < key ? length / 2 : 0;
  return *low == key ? static_cast<size_t>(low - keys) : n;
}

}  // namespace oskolok
