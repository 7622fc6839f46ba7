// The width of AVX-512: four blocks in each ZMM register, the earliest in the lowest lane. Only
// long loops use it: they come and go with the registers of ymm_amd64.h, of which these are the whole.
// Registers from 16 on stay unused: VZEROUPPER does not clear them.

#define LANES 4         // blocks in a register
#define WIDTH 64        // octets in a register
#define CHUNK_BLOCKS 16 // of the counters and powers: half of a chunk
#define CHUNK_LEN 512
#define CHUNK_SHIFT 9

#define VXOR VPXORQ
#define VMOVE VMOVDQU64

#define S0 Z0 // CTR of a chunk: counters, AES states, key stream
#define S1 Z1
#define S2 Z2
#define S3 Z3
#define S4 Z4
#define S5 Z5
#define S6 Z6
#define S7 Z7
#define RK Z8 // a round key, in all lanes
#define LO Z9 // sums of products, not reduced
#define MI Z10
#define HI Z11
#define HIY Y11
#define HIX X11
#define BLK Z12 // operand of multiplications: blocks of text, octets reversed
#define BLKY Y12
#define TMP Z13
#define TMPY Y13
#define TMPX X13
#define ACC Z14 // the hash so far, in the lowest lane; the others are zero
#define ACCX X14
#define CTR Z15 // a counter block, octets reversed, in each lane
#define CTRY Y15

// CHUNK_BLOCKS, as a counter of CTR, in each lane.
DATA step<>+0(SB)/8, $16
DATA step<>+8(SB)/8, $0
DATA step<>+16(SB)/8, $16
DATA step<>+24(SB)/8, $0
DATA step<>+32(SB)/8, $16
DATA step<>+40(SB)/8, $0
DATA step<>+48(SB)/8, $16
DATA step<>+56(SB)/8, $0
GLOBL step<>(SB), NOPTR|RODATA, $64

// LOAD_KEY: RK = the round key at p, in each lane.
#define LOAD_KEY(p) VBROADCASTI32X4 p, RK

// ADD_LANES: to = HI + TMP, with all lanes added.
#define ADD_LANES(to) \
	VPXORQ TMP, HI, HI; \
	VEXTRACTI64X4 $1, HI, TMPY; \
	VPXOR TMPY, HIY, HIY; \
	VEXTRACTI128 $1, HIY, TMPX; \
	VPXOR TMPX, HIX, to

// COUNTERS_ACROSS: the counter blocks of 14 and 15 and of the next multiple of CHUNK_BLOCKS and the
// one behind it; TMP is the next base.
#define COUNTERS_ACROSS(s) \
	VMOVDQA64 TMP, BLK; \
	NEXT_BASE; \
	VINSERTI64X4 $0, BLKY, TMP, BLK; \
	VPXORQ count<>+(16*14)(SB), BLK, s

// COUNTERS_HALF: the counter blocks of half of a chunk.
#define COUNTERS_HALF(a, b, c, d) \
	COUNTER(2, a); \
	COUNTER(6, b); \
	COUNTER(10, c); \
	COUNTERS_ACROSS(d)

// COUNTERS_CHUNK: the counter blocks of a chunk.
#define COUNTERS_CHUNK \
	LOAD_KEY(schedule_keys(K)); \
	BASE; \
	COUNTERS_HALF(S0, S1, S2, S3); \
	COUNTERS_HALF(S4, S5, S6, S7)
