// What a scan spends its time on, with the best instructions the running CPU has: dot products of 8-bit codes, what is made of
// them, sums over float32 vectors in double precision, and the sorting of short lists.
//
// The choice is made when the program runs, not when it is compiled, so that a built package may travel. All variants of a
// function return the same bits: sums of codes are integers, and sums of doubles are added up in one fixed order.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__)
#define OSKOLOK_X86 1
#include <immintrin.h>
#endif

namespace oskolok {

constexpr size_t kBlock = 64;     // coordinates in a vector register; codes are padded to whole ones
constexpr size_t kAhead = 16;     // rows fetched into cache before they are needed
constexpr int32_t kZero = 128;    // codes are unsigned: VNNI multiplies unsigned by signed

// Some rows' codes: those in `listed`, or, if it is null, first, first + 1, ... `known` of them exist, for fetching early.
struct Codes {
  const uint8_t* all;
  size_t blocks;
  const int32_t* listed;
  size_t first;
  size_t known;
};

// products[i] = dot(codes of the i-th row, query), for `count` rows.
using CodeDots = void (*)(const Codes& codes, const int8_t* query, size_t count, int32_t* products);
// A tile: rows scored at once. What their products are worth, and which of them count.
constexpr size_t kTile = 256;
constexpr float kNever = -std::numeric_limits<float>::infinity();

struct Terms {
  int32_t offset;           // to take from every product
  float unit;               // unless half is null: score = product * unit - half
  const float* half;        // aligned with the tile
  const bool* passes;       // aligned with the tile; a row that does not pass scores minus infinity. May be null
};

// scores[i] for `count` rows of a tile; those beyond it, up to kTile, score minus infinity.
using TileScores = void (*)(const int32_t* products, const Terms& terms, size_t count, float* scores);

// peaks[j] = the largest of scores[j], scores[j + columns], ... of a tile. columns: a multiple of 8 that divides kTile.
using TilePeaks = void (*)(const float* scores, size_t columns, float* peaks);

// sum(a[j] * b[j]), or the sum of squares of a[j] - b[j].
using FloatSum = double (*)(const float* a, const double* b, size_t dim);

// sorted = the values, all different, ascending. Looks at every pair: for some hundreds of values faster than to branch.
using SortShort = void (*)(const uint64_t* values, size_t count, uint64_t* sorted);

#define OSKOLOK_INLINE inline __attribute__((always_inline))

template <bool kListed>
OSKOLOK_INLINE const uint8_t* code_row(const Codes& codes, size_t pitch, size_t i) {
  return codes.all + (kListed ? static_cast<size_t>(codes.listed[i]) : codes.first + i) * pitch;
}

template <bool kListed>
OSKOLOK_INLINE void fetch(const Codes& codes, size_t blocks, size_t i) {
  if (!kListed || i >= codes.known) return;  // the CPU itself foresees rows in order
  const uint8_t* row = code_row<kListed>(codes, blocks * kBlock, i);
  for (size_t b = 0; b < blocks; ++b) __builtin_prefetch(row + b * kBlock);
}

template <bool kListed>
OSKOLOK_INLINE void code_dots_any(const Codes& codes, const int8_t* __restrict query, size_t count, int32_t* __restrict products) {
  for (size_t i = 0; i < count; ++i) {
    fetch<kListed>(codes, codes.blocks, i + kAhead);
    const uint8_t* row = code_row<kListed>(codes, codes.blocks * kBlock, i);
    int32_t sum = 0;
    for (size_t j = 0; j < codes.blocks * kBlock; ++j) sum += static_cast<int32_t>(row[j]) * query[j];
    products[i] = sum;
  }
}

// Eight of them, in whatever registers the CPU has (an extension that GCC and Clang share).
typedef float Floats8 __attribute__((vector_size(32)));
typedef double Doubles8 __attribute__((vector_size(64)));
typedef int32_t Ints8 __attribute__((vector_size(32)));

template <class Eight, class T>
OSKOLOK_INLINE Eight loaded(const T* from) {
  Eight eight;
  std::memcpy(&eight, from, sizeof eight);
  return eight;
}

OSKOLOK_INLINE void tile_scores(const int32_t* products, const Terms& terms, size_t count, float* scores) {
  int32_t fails[kTile];  // 0 or all bits
  if (terms.passes)
    for (size_t j = 0; j < count; ++j) fails[j] = static_cast<int32_t>(terms.passes[j]) - 1;
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    Floats8 score = __builtin_convertvector(loaded<Ints8>(products + i) - terms.offset, Floats8);
    if (terms.half) score = score * terms.unit - loaded<Floats8>(terms.half + i);
    if (terms.passes) score = loaded<Ints8>(fails + i) != 0 ? Floats8{} + kNever : score;
    std::memcpy(scores + i, &score, sizeof score);
  }
  for (; i < count; ++i) {
    scores[i] = static_cast<float>(products[i] - terms.offset);
    if (terms.half) scores[i] = scores[i] * terms.unit - terms.half[i];
    if (terms.passes && !terms.passes[i]) scores[i] = kNever;
  }
  for (; i < kTile; ++i) scores[i] = kNever;
}

OSKOLOK_INLINE void tile_peaks(const float* scores, size_t columns, float* peaks) {
  for (size_t j = 0; j < columns; j += 8) {
    Floats8 best = loaded<Floats8>(scores + j);
    for (size_t i = j + columns; i < kTile; i += columns) {
      const Floats8 score = loaded<Floats8>(scores + i);
      best = score > best ? score : best;
    }
    std::memcpy(peaks + j, &best, sizeof best);
  }
}

struct Product {
  template <class T>
  static OSKOLOK_INLINE T of(T a, T b) {
    return a * b;
  }
};
struct SquaredDifference {
  template <class T>
  static OSKOLOK_INLINE T of(T a, T b) {
    return (a - b) * (a - b);
  }
};

// Eight running sums in a fixed order, so that every CPU adds up alike. Compiled without contraction to fused operations.
template <class Term>
OSKOLOK_INLINE double float_sum(const float* a, const double* b, size_t dim) {
  Doubles8 sums = {0, 0, 0, 0, 0, 0, 0, 0};
  size_t j = 0;
  for (; j + 8 <= dim; j += 8) {
    const Doubles8 left = __builtin_convertvector(loaded<Floats8>(a + j), Doubles8);
    sums += Term::of(left, loaded<Doubles8>(b + j));
  }
  for (size_t lane = 0; j < dim; ++j, ++lane) sums[lane] += Term::of(static_cast<double>(a[j]), b[j]);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

OSKOLOK_INLINE void sort_short(const uint64_t* values, size_t count, uint64_t* sorted) {
  for (size_t i = 0; i < count; ++i) {
    uint64_t before = 0;
    for (size_t j = 0; j < count; ++j) before += values[j] < values[i];
    sorted[before] = values[i];
  }
}

inline void code_dots_plain(const Codes& codes, const int8_t* __restrict query, size_t count, int32_t* __restrict products) {
  codes.listed ? code_dots_any<true>(codes, query, count, products) : code_dots_any<false>(codes, query, count, products);
}
inline void tile_scores_plain(const int32_t* products, const Terms& terms, size_t count, float* scores) {
  tile_scores(products, terms, count, scores);
}
inline void tile_peaks_plain(const float* scores, size_t columns, float* peaks) { tile_peaks(scores, columns, peaks); }
inline void sort_short_plain(const uint64_t* values, size_t count, uint64_t* sorted) { sort_short(values, count, sorted); }
template <class Term>
double float_sum_plain(const float* a, const double* b, size_t dim) {
  return float_sum<Term>(a, b, dim);
}

#ifdef OSKOLOK_X86
#define OSKOLOK_AVX2 __attribute__((target("avx2")))
#define OSKOLOK_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

// AVX2 multiplies unsigned by signed bytes too, but saturates pairs at 16 bits. |code| times the query with the code's sign
// cannot: 2 * 127 * 127 fits.
template <bool kListed>
OSKOLOK_AVX2 OSKOLOK_INLINE __m256i lanes_avx2(const Codes& codes, const int8_t* query, size_t i) {
  const uint8_t* row = code_row<kListed>(codes, codes.blocks * kBlock, i);
  __m256i sum = _mm256_setzero_si256();
  for (size_t j = 0; j < codes.blocks * kBlock; j += 32) {
    const __m256i code = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + j)),
                                          _mm256_set1_epi8(static_cast<char>(kZero)));
    const __m256i part = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query + j));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(code), _mm256_sign_epi8(part, code));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  return sum;
}

template <bool kListed>
OSKOLOK_AVX2 OSKOLOK_INLINE void code_dots_avx2_of(const Codes& codes, const int8_t* __restrict query, size_t count, int32_t* __restrict products) {
  int32_t offset = 0;
  for (size_t j = 0; j < codes.blocks * kBlock; ++j) offset += kZero * query[j];
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (size_t j = 0; j < 4; ++j) fetch<kListed>(codes, codes.blocks, i + j + kAhead);
    const __m256i ab = _mm256_hadd_epi32(lanes_avx2<kListed>(codes, query, i), lanes_avx2<kListed>(codes, query, i + 1));
    const __m256i cd = _mm256_hadd_epi32(lanes_avx2<kListed>(codes, query, i + 2), lanes_avx2<kListed>(codes, query, i + 3));
    const __m256i abcd = _mm256_hadd_epi32(ab, cd);
    const __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256(abcd, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(products + i), _mm_add_epi32(sums, _mm_set1_epi32(offset)));
  }
  if (i == count) return;
  Codes rest = codes;
  rest.first += i;
  rest.known -= i;
  if (kListed) rest.listed += i;
  code_dots_any<kListed>(rest, query, count - i, products + i);
}
OSKOLOK_AVX2 inline void code_dots_avx2(const Codes& codes, const int8_t* __restrict query, size_t count, int32_t* __restrict products) {
  codes.listed ? code_dots_avx2_of<true>(codes, query, count, products) : code_dots_avx2_of<false>(codes, query, count, products);
}
OSKOLOK_AVX2 inline void tile_scores_avx2(const int32_t* products, const Terms& terms, size_t count, float* scores) {
  tile_scores(products, terms, count, scores);
}
OSKOLOK_AVX2 inline void tile_peaks_avx2(const float* scores, size_t columns, float* peaks) { tile_peaks(scores, columns, peaks); }
OSKOLOK_AVX2 inline void sort_short_avx2(const uint64_t* values, size_t count, uint64_t* sorted) {
  sort_short(values, count, sorted);
}
template <class Term>
OSKOLOK_AVX2 double float_sum_avx2(const float* a, const double* b, size_t dim) {
  return float_sum<Term>(a, b, dim);
}

// A row's product spread over 8 lanes. Not 16: adding up lanes costs more than filling them, and AMD halves wide registers.
template <bool kListed>
OSKOLOK_VNNI OSKOLOK_INLINE __m256i lanes_vnni(const Codes& codes, size_t blocks, const int8_t* query, size_t i) {
  const uint8_t* row = code_row<kListed>(codes, blocks * kBlock, i);
  __m256i sum = _mm256_setzero_si256();
  for (size_t j = 0; j < blocks * kBlock; j += 32)
    sum = _mm256_dpbusd_epi32(sum, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + j)),
                              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query + j)));
  return sum;
}

template <bool kListed>
OSKOLOK_VNNI OSKOLOK_INLINE void code_dots_four(const Codes& codes, size_t blocks, const int8_t* __restrict query, size_t count,
                                                int32_t* __restrict products) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (size_t j = 0; j < 4; ++j) fetch<kListed>(codes, blocks, i + j + kAhead);
    const __m256i a = lanes_vnni<kListed>(codes, blocks, query, i), b = lanes_vnni<kListed>(codes, blocks, query, i + 1);
    const __m256i c = lanes_vnni<kListed>(codes, blocks, query, i + 2), d = lanes_vnni<kListed>(codes, blocks, query, i + 3);
    const __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    const __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    const __m256i abcd = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    const __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256(abcd, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(products + i), sums);
  }
  if (i == count) return;
  Codes rest = codes;
  rest.first += i;
  rest.known -= i;
  if (kListed) rest.listed += i;
  code_dots_any<kListed>(rest, query, count - i, products + i);
}

template <bool kListed>
OSKOLOK_VNNI OSKOLOK_INLINE void code_dots_vnni_of(const Codes& codes, const int8_t* __restrict query, size_t count, int32_t* __restrict products) {
  if (codes.blocks == 1)
    code_dots_four<kListed>(codes, 1, query, count, products);
  else if (codes.blocks == 2)
    code_dots_four<kListed>(codes, 2, query, count, products);
  else
    code_dots_four<kListed>(codes, codes.blocks, query, count, products);
}
OSKOLOK_VNNI inline void code_dots_vnni(const Codes& codes, const int8_t* __restrict query, size_t count, int32_t* __restrict products) {
  codes.listed ? code_dots_vnni_of<true>(codes, query, count, products) : code_dots_vnni_of<false>(codes, query, count, products);
}
OSKOLOK_VNNI inline void tile_scores_avx512(const int32_t* products, const Terms& terms, size_t count, float* scores) {
  tile_scores(products, terms, count, scores);
}
OSKOLOK_VNNI inline void tile_peaks_avx512(const float* scores, size_t columns, float* peaks) { tile_peaks(scores, columns, peaks); }
OSKOLOK_VNNI inline void sort_short_avx512(const uint64_t* values, size_t count, uint64_t* sorted) {
  sort_short(values, count, sorted);
}
template <class Term>
OSKOLOK_VNNI double float_sum_avx512(const float* a, const double* b, size_t dim) {
  return float_sum<Term>(a, b, dim);
}
#endif

struct Instructions {
  const char* name;
  CodeDots code_dots;
  TileScores tile_scores;
  TilePeaks tile_peaks;
  FloatSum products;
  FloatSum squared_differences;
  SortShort sort_short;
};

// What the running CPU can do, the fastest first.
inline std::vector<Instructions> supported_instructions() {
  std::vector<Instructions> supported;
#ifdef OSKOLOK_X86
  if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    supported.push_back({"avx512vnni", code_dots_vnni, tile_scores_avx512, tile_peaks_avx512, float_sum_avx512<Product>, float_sum_avx512<SquaredDifference>, sort_short_avx512});
  if (__builtin_cpu_supports("avx2"))
    supported.push_back({"avx2", code_dots_avx2, tile_scores_avx2, tile_peaks_avx2, float_sum_avx2<Product>, float_sum_avx2<SquaredDifference>, sort_short_avx2});
#endif
  supported.push_back({"plain", code_dots_plain, tile_scores_plain, tile_peaks_plain, float_sum_plain<Product>, float_sum_plain<SquaredDifference>, sort_short_plain});
  return supported;
}

}  // namespace oskolok
