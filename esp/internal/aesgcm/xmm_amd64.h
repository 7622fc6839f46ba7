// The width of AES-NI: one block in each XMM register. Nothing here needs more than AVX.

#define LANES 1        // blocks in a register
#define WIDTH 16       // octets in a register
#define CHUNK_BLOCKS 8 // 8 registers
#define CHUNK_LEN 128
#define CHUNK_SHIFT 7

#define VXOR VPXOR    // of whole registers, where ZMM have another instruction
#define VMOVE VMOVDQU // likewise

#define S0X X0
#define S1X X1
#define S0 X0 // CTR of a chunk: counters, AES states, key stream
#define S1 X1
#define S2 X2
#define S3 X3
#define S4 X4
#define S5 X5
#define S6 X6
#define S7 X7
#define RK X8   // a round key
#define RKX X8
#define LO X9   // sums of products, not reduced
#define MI X10
#define HI X11
#define BLK X12 // operand of multiplications: a block of text, octets reversed
#define BLKX X12
#define TMP X13
#define TMPX X13
#define ACC X14 // the hash so far
#define ACCX X14
#define MASKX X14 // after the last use of ACC: E(K, J0)
#define CTR X15 // a counter block, octets reversed
#define CTRX X15

// CHUNK_BLOCKS, as a counter of CTR.
DATA step<>+0(SB)/8, $8
DATA step<>+8(SB)/8, $0
GLOBL step<>(SB), NOPTR|RODATA, $16

// LOAD_KEY: RK = the round key at p.
#define LOAD_KEY(p) VMOVDQU p, RK

// ADD_LANES: to = HI + TMP. There is one lane.
#define ADD_LANES(to) VPXOR TMP, HI, to

// COPY_CTR: there is one lane.
#define COPY_CTR

// COUNTERS_4_7: registers 4 to 7. The last two belong to the next multiple of CHUNK_BLOCKS.
#define COUNTERS_4_7 \
	COUNTER(6, S4); \
	COUNTER(7, S5); \
	NEXT_BASE; \
	COUNTER(0, S6); \
	COUNTER(1, S7)

// TAIL_PRODUCTS: LO, MI, HI = ACC * the power at T0 + BLK * H.
#define TAIL_PRODUCTS \
	MULTIPLY(POWER(1)(K), (POWER(1)+FOLDED)(K)); \
	VMOVDQA ACC, BLK; \
	MULTIPLY_ADD((T0), FOLDED(T0))

// No text is long enough for wider registers.
#define SEAL_LONG
#define OPEN_LONG

// No block is left alone.
#define SEAL_SINGLE
#define OPEN_SINGLE
