#include "go_asm.h"
#include "textflag.h"
#include "zmm_amd64.h"
#include "macros_amd64.h"

// The loops of sealing and opening with VAES, VPCLMULQDQ and AVX-512 on ZMM registers. The
// functions of vaes_amd64.s call them for long texts, at their label chunks: arguments and results are in
// the registers that macros_amd64.h names, and the rest of the text stays to the caller, 1 octet at
// least. A chunk has twice the length of theirs and is hashed by halves, so that the same powers of
// H are enough.

// HASH_HALF: hashes 256 octets at HASHED behind a, b, c and d, and advances.
#define HASH_HALF(a, b, c, d) \
	a; \
	HASH(1, HASHED, MULTIPLY); \
	b; \
	HASH(2, HASHED, MULTIPLY_ADD); \
	c; \
	HASH(3, HASHED, MULTIPLY_ADD); \
	d; \
	HASH_START(HASHED); \
	ADDQ $(CHUNK_LEN/2), HASHED; \
	REDUCE(ACCX)

// CHUNK_AT_HASHED: CTR of a chunk, interleaved with the hash of the one at HASHED.
#define CHUNK_AT_HASHED(done) \
	COUNTERS_CHUNK; \
	HASH_HALF(ROUND(1), ROUND(2), ROUND(3), ROUND(4)); \
	HASH_HALF(ROUND(5), ROUND(6), ROUND(7), ROUND(8)); \
	ROUND(9); \
	MORE_ROUNDS(done) \
	CRYPT_CHUNK

// CHUNKS_OF_TEXT: CHUNKS = the chunks before the last octet, and CTR in each lane.
#define CHUNKS_OF_TEXT \
	LEAQ -1(LEFT), CHUNKS; \
	SHRQ $CHUNK_SHIFT, CHUNKS; \
	VINSERTI64X4 $1, CTRY, CTR, CTR

// func sealChunks()
TEXT ·sealChunks(SB), NOSPLIT, $0-0
	CHUNKS_OF_TEXT
	MOVQ OUT, HASHED
	COUNTERS_CHUNK
	ROUND(1)
	ROUND(2)
	ROUND(3)
	ROUND(4)
	ROUND(5)
	ROUND(6)
	ROUND(7)
	ROUND(8)
	ROUND(9)
	MORE_ROUNDS(lastOfFirst)
	CRYPT_CHUNK
	DECQ CHUNKS
	JEQ half
	PCALIGN $32

chunk: // encrypts a chunk, hashes the one before
	CHUNK_AT_HASHED(lastOfChunk)
	DECQ CHUNKS
	JNE chunk

half: // of the last one; the caller hashes the other
	HASH(1, HASHED, MULTIPLY)
	HASH(2, HASHED, MULTIPLY_ADD)
	HASH(3, HASHED, MULTIPLY_ADD)
	HASH_START(HASHED)
	ADDQ $(CHUNK_LEN/2), HASHED
	REDUCE(ACCX)
	RET

// func openChunks()
TEXT ·openChunks(SB), NOSPLIT, $0-0
	CHUNKS_OF_TEXT
	MOVQ IN, HASHED
	PCALIGN $32

chunk: // decrypts and hashes a chunk: all of it is read before any of it is written
	CHUNK_AT_HASHED(lastOfChunk)
	DECQ CHUNKS
	JNE chunk
	RET
