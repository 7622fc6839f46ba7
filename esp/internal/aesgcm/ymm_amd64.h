// The width of VAES: two blocks in each YMM register, the earlier one in the low lane.

#define LANES 2         // blocks in a register
#define WIDTH 32        // octets in a register
#define CHUNK_BLOCKS 16 // 8 registers
#define CHUNK_LEN 256
#define CHUNK_SHIFT 8

#define VXOR VPXOR    // of whole registers, where ZMM have another instruction
#define VMOVE VMOVDQU // likewise

#define S0X X0
#define S1X X1
#define S0 Y0 // CTR of a chunk: counters, AES states, key stream
#define S1 Y1
#define S2 Y2
#define S3 Y3
#define S4 Y4
#define S5 Y5
#define S6 Y6
#define S7 Y7
#define RK Y8   // a round key, in both lanes
#define RKX X8
#define LO Y9   // sums of products, not reduced
#define MI Y10
#define HI Y11
#define HIX X11
#define BLK Y12 // operand of multiplications: blocks of text, octets reversed
#define BLKX X12
#define TMP Y13
#define TMPX X13
#define ACC Y14 // the hash so far, in the low lane; the high one is zero
#define ACCX X14
#define MASKX X14 // after the last use of ACC: E(K, J0)
#define CTR Y15 // a counter block, octets reversed, in each lane
#define CTRX X15

// CHUNK_BLOCKS, as a counter of CTR, in each lane.
DATA step<>+0(SB)/8, $16
DATA step<>+8(SB)/8, $0
DATA step<>+16(SB)/8, $16
DATA step<>+24(SB)/8, $0
GLOBL step<>(SB), NOPTR|RODATA, $32

// LOAD_KEY: RK = the round key at p, in each lane.
#define LOAD_KEY(p) VBROADCASTI128 p, RK

// ADD_LANES: to = HI + TMP, with both lanes added.
#define ADD_LANES(to) \
	VPXOR TMP, HI, HI; \
	VEXTRACTI128 $1, HI, TMPX; \
	VPXOR TMPX, HIX, to

// COPY_CTR: copies the low lane of CTR to the high one.
#define COPY_CTR VINSERTI128 $1, CTRX, CTR, CTR

// COUNTERS_4_7: registers 4 to 7. The last one belongs to the next multiple of CHUNK_BLOCKS.
#define COUNTERS_4_7 \
	COUNTER(10, S4); \
	COUNTER(12, S5); \
	COUNTER(14, S6); \
	NEXT_BASE; \
	COUNTER(0, S7)

// TAIL_PRODUCTS: LO, MI, HI = ACC * the power at T0 + BLK * H, one product in each lane.
#define TAIL_PRODUCTS \
	VINSERTI128 $1, BLKX, ACC, BLK; \
	VMOVDQU (T0), X0; \
	VINSERTI128 $1, POWER(1)(K), S0, S0; \
	VMOVDQU FOLDED(T0), X1; \
	VINSERTI128 $1, (POWER(1)+FOLDED)(K), S1, S1; \
	MULTIPLY(S0, S1)

// SEAL_SINGLE: seals a block that is left alone, if there is one, with the low lane of S0; then S0X
// holds the key stream of the next.
#define SEAL_SINGLE \
	CMPQ LEFT, $16; \
	JLT part; \
	VPXOR (IN), S0X, BLKX; \
	VMOVDQU BLKX, (OUT); \
	ADVANCE(16); \
	VEXTRACTI128 $1, S0, S0X

#define OPEN_SINGLE \
	CMPQ LEFT, $16; \
	JLT part; \
	VMOVDQU (IN), BLKX; \
	VPXOR BLKX, S0X, X1; \
	VMOVDQU X1, (OUT); \
	ADVANCE(16); \
	VEXTRACTI128 $1, S0, S0X

// SEAL_LONG and OPEN_LONG: the loops of zmm_amd64.s, for a text longer than their chunk, if the key
// allows them. Sealing, they leave the last 256 octets of ciphertext to be hashed, as after the
// first chunk of this width.
#define SEAL_LONG \
	CMPQ schedule_zmm(K), $0; \
	JEQ short; \
	CMPQ LEFT, $(2*CHUNK_LEN); \
	JLE short; \
	CALL ·sealChunks(SB); \
	LEAQ -1(LEFT), CHUNKS; \
	SHRQ $CHUNK_SHIFT, CHUNKS; \
	JEQ hashLast; \
	JMP chunk; \
short:

#define OPEN_LONG \
	CMPQ schedule_zmm(K), $0; \
	JEQ short; \
	CMPQ LEFT, $(2*CHUNK_LEN); \
	JLE short; \
	CALL ·openChunks(SB); \
	CMPQ LEFT, $CHUNK_LEN; \
	JLE hashed; \
short:
