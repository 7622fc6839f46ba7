// AES-GCM (NIST SP 800-38D) with VAES and VPCLMULQDQ on YMM registers: two blocks in each, the
// earlier one in the low lane.
//
// Constant time: branches depend only on lengths, the number of rounds and whether buffers overlap,
// all of which are public. Addresses depend only on these and on pointers. Keys, texts, hashes and
// tags pass only through vector and shift instructions, whose time does not depend on data.
//
// GHASH. In SP 800-38D the first bit of a block is the coefficient of x^0. With its octets
// reversed, a block is a 128-bit number whose highest bit is that coefficient. The carry-less
// product of two such numbers, in 256 bits, is the product of the polynomials times x, so the table
// holds each power of H divided by x. The product of a = aH:aL and b = bH:bL (Karatsuba) is
//
//	LO = aL*bL    HI = aH*bH    MI = (aL+aH)*(bL+bH) + LO + HI    a*b = HI*2^128 + MI*2^64 + LO
//
// and the sum of many products is reduced once. The modulus x^128 + x^7 + x^2 + x + 1 is the number
// 2^128 + POLY*2^64 + 1. Let q be the lowest 64 bits: adding q times the modulus clears them, and
// adds q*POLY 64 bits higher and q 128 bits higher. After the second such step, the upper 128 bits
// are the result.
//
// CTR. The counter block is also kept with its octets reversed, so that its 32-bit counter is the
// lowest word of its lane.

// Pointers and counts.
#define K AX       // *schedule
#define OUT DI     // destination of the next octet
#define IN SI      // source of the next octet
#define LEFT CX    // octets of text left
#define NONCE R8
#define POW R9     // the power for the next block to hash
#define KEY R10    // the next round key
#define LAST R11   // the last round key
#define HASHED R12 // sealing: the next ciphertext to hash
#define CHUNKS R13 // chunks of 16 blocks left
#define AAD BX
#define AADLEN DX
#define T0 R12 // outside of the loops over chunks
#define T1 R13
#define T2 R14
#define T3 R10

// Vectors.
#define S0X X0
#define S0 Y0 // 16 blocks of CTR: counters, AES states, key stream
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
#define CTR Y15 // the counters of the next two blocks, octets reversed
#define CTRX X15

// Reverses the octets of both lanes.
DATA swap<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA swap<>+8(SB)/8, $0x0001020304050607
DATA swap<>+16(SB)/8, $0x08090a0b0c0d0e0f
DATA swap<>+24(SB)/8, $0x0001020304050607
GLOBL swap<>(SB), NOPTR|RODATA, $32

// POLY: x + x^2 + x^7, the coefficient of x in the highest bit.
DATA poly<>+0(SB)/8, $0xc200000000000000
DATA poly<>+8(SB)/8, $0xc200000000000000
DATA poly<>+16(SB)/8, $0xc200000000000000
DATA poly<>+24(SB)/8, $0xc200000000000000
GLOBL poly<>(SB), NOPTR|RODATA, $32

// For the division by x: see setup.
DATA carry<>+0(SB)/8, $1
DATA carry<>+8(SB)/8, $0xc200000000000001
GLOBL carry<>(SB), NOPTR|RODATA, $16

// Added to the nonce with a zero behind it: the first two counters of the text. J0 has 1.
DATA start<>+0(SB)/8, $2
DATA start<>+8(SB)/8, $0
DATA start<>+16(SB)/8, $3
DATA start<>+24(SB)/8, $0
GLOBL start<>(SB), NOPTR|RODATA, $32

DATA two<>+0(SB)/8, $2
DATA two<>+8(SB)/8, $0
DATA two<>+16(SB)/8, $2
DATA two<>+24(SB)/8, $0
GLOBL two<>(SB), NOPTR|RODATA, $32

// At offset 16-n: a mask that keeps n octets and clears the others.
DATA keep<>+0(SB)/8, $-1
DATA keep<>+8(SB)/8, $-1
DATA keep<>+16(SB)/8, $0
DATA keep<>+24(SB)/8, $0
GLOBL keep<>(SB), NOPTR|RODATA, $32

// The powers are stored from H^18 down to H^1, 16 octets each, and the sums of their halves in the
// same order.
#define POWER(n) (schedule_powers+16*(18-(n)))
#define FOLDED (schedule_folded-schedule_powers) // from a power to the sum of its halves

// CLEAR_PRODUCT: LO = MI = HI = 0.
#define CLEAR_PRODUCT \
	VPXOR LO, LO, LO; \
	VPXOR MI, MI, MI; \
	VPXOR HI, HI, HI

// MULTIPLY: LO, MI, HI += BLK * power in both lanes; LO + HI is not added to MI yet. halves is the
// sum of the power's halves.
#define MULTIPLY(power, halves) \
	VPSHUFD $0x4e, BLK, TMP; \
	VPXOR BLK, TMP, TMP; \
	VPCLMULQDQ $0x00, halves, TMP, TMP; \
	VPXOR TMP, MI, MI; \
	VPCLMULQDQ $0x00, power, BLK, TMP; \
	VPXOR TMP, LO, LO; \
	VPCLMULQDQ $0x11, power, BLK, TMP; \
	VPXOR TMP, HI, HI

// REDUCE: to = HI*2^128 + MI*2^64 + LO, reduced, with both lanes added. q is first the low half of
// LO, then that of MI.
#define REDUCE(to) \
	VPXOR LO, MI, MI; \
	VPXOR HI, MI, MI; \
	VPCLMULQDQ $0x00, poly<>(SB), LO, TMP; \
	VPSHUFD $0x4e, LO, LO; \
	VPXOR LO, MI, MI; \
	VPXOR TMP, MI, MI; \
	VPCLMULQDQ $0x00, poly<>(SB), MI, TMP; \
	VPSHUFD $0x4e, MI, MI; \
	VPXOR MI, HI, HI; \
	VPXOR TMP, HI, HI; \
	VEXTRACTI128 $1, HI, TMPX; \
	VPXOR TMPX, HIX, to

// HASH: multiplies pair i of the chunk at text by its powers, H^(16-2i) and H^(15-2i).
#define HASH(i, text) \
	VMOVDQU (32*i)(text), BLK; \
	VPSHUFB swap<>(SB), BLK, BLK; \
	MULTIPLY(POWER(16-2*i)(K), (POWER(16-2*i)+FOLDED)(K))

// HASH_FIRST: the same for pair 0, to which the hash so far is added. It comes last, since that
// hash takes longest to be known.
#define HASH_FIRST(text) \
	VMOVDQU (text), BLK; \
	VPSHUFB swap<>(SB), BLK, BLK; \
	VPXOR ACC, BLK, BLK; \
	MULTIPLY(POWER(16)(K), (POWER(16)+FOLDED)(K))

// COUNTER: s = the next two counter blocks, with the first round key added.
#define COUNTER(s) \
	VPSHUFB swap<>(SB), CTR, s; \
	VPADDD two<>(SB), CTR, CTR; \
	VPXOR RK, s, s

#define COUNTERS \
	VBROADCASTI128 schedule_keys(K), RK; \
	COUNTER(S0); \
	COUNTER(S1); \
	COUNTER(S2); \
	COUNTER(S3); \
	COUNTER(S4); \
	COUNTER(S5); \
	COUNTER(S6); \
	COUNTER(S7)

// ROUND2, 4, 8: one round of AES for 4, 8, 16 blocks.
#define ROUND2 \
	VAESENC RK, S0, S0; \
	VAESENC RK, S1, S1

#define ROUND4 \
	ROUND2; \
	VAESENC RK, S2, S2; \
	VAESENC RK, S3, S3

#define ROUND8 \
	ROUND4; \
	VAESENC RK, S4, S4; \
	VAESENC RK, S5, S5; \
	VAESENC RK, S6, S6; \
	VAESENC RK, S7, S7

// ROUND: round n for 16 blocks.
#define ROUND(n) \
	VBROADCASTI128 (schedule_keys+16*n)(K), RK; \
	ROUND8

// LAST2, 4, 8: the last round.
#define LAST2 \
	VAESENCLAST RK, S0, S0; \
	VAESENCLAST RK, S1, S1

#define LAST4 \
	LAST2; \
	VAESENCLAST RK, S2, S2; \
	VAESENCLAST RK, S3, S3

#define LAST8 \
	LAST4; \
	VAESENCLAST RK, S4, S4; \
	VAESENCLAST RK, S5, S5; \
	VAESENCLAST RK, S6, S6; \
	VAESENCLAST RK, S7, S7

// CRYPT: the last round for pair i of a chunk, combined with the text. The round adds its operand
// at the end, so the text is added to the key before.
#define CRYPT(i, s) \
	VPXOR (32*i)(IN), RK, TMP; \
	VAESENCLAST TMP, s, s; \
	VMOVDQU s, (32*i)(OUT)

// CRYPT_CHUNK: the last round for 16 blocks, and advance to the next.
#define CRYPT_CHUNK \
	VBROADCASTI128 (LAST), RK; \
	CRYPT(0, S0); \
	CRYPT(1, S1); \
	CRYPT(2, S2); \
	CRYPT(3, S3); \
	CRYPT(4, S4); \
	CRYPT(5, S5); \
	CRYPT(6, S6); \
	CRYPT(7, S7); \
	ADDQ $256, IN; \
	ADDQ $256, OUT; \
	SUBQ $256, LEFT

// MORE_ROUNDS: the rounds from 10 to the last but one: none, two or four (FIPS 197, Section 5).
#define MORE_ROUNDS(done) \
	CMPQ schedule_rounds(K), $12; \
	JLT done; \
	ROUND(10); \
	ROUND(11); \
	JEQ done; \
	ROUND(12); \
	ROUND(13); \
done:

// CHUNK: CTR of 16 blocks, interleaved with the hash of 16 others.
#define CHUNK(text, done) \
	COUNTERS; \
	CLEAR_PRODUCT; \
	ROUND(1); \
	HASH(1, text); \
	ROUND(2); \
	HASH(2, text); \
	ROUND(3); \
	HASH(3, text); \
	ROUND(4); \
	HASH(4, text); \
	ROUND(5); \
	HASH(5, text); \
	ROUND(6); \
	HASH(6, text); \
	ROUND(7); \
	HASH(7, text); \
	ROUND(8); \
	HASH_FIRST(text); \
	ROUND(9); \
	MORE_ROUNDS(done) \
	REDUCE(ACCX); \
	CRYPT_CHUNK

// APART: jumps to bad if the octets at a and at b overlap. It changes neither. They overlap if the
// unsigned difference of the addresses is less than the length of the one that begins first.
#define APART(a, alen, b, blen, good, bad) \
	TESTQ alen, alen; \
	JEQ good; \
	TESTQ blen, blen; \
	JEQ good; \
	MOVQ b, T0; \
	SUBQ a, T0; \
	CMPQ T0, alen; \
	JCS bad; \
	NEGQ T0; \
	CMPQ T0, blen; \
	JCS bad; \
good:

// LOAD_PART: BLKX = the n octets at p, 1 to 15, followed by zeros. No other octet is read: from 4
// or 8 octets on, two loads overlap. Branches, addresses and shift counts depend on n, a length,
// alone.
#define LOAD_PART(p, n, below8, below4, loaded) \
	XORL T2, T2; \
	CMPQ n, $8; \
	JLT below8; \
	MOVQ (p), T0; \
	MOVQ -8(p)(n*1), T2; \
	MOVQ $15, T1; \
	SUBQ n, T1; \
	SHLQ $3, T1; \
	SHRXQ T1, T2, T2; \
	SHRQ $8, T2; \
	JMP loaded; \
below8: \
	CMPQ n, $4; \
	JLT below4; \
	MOVL (p), T0; \
	MOVL -4(p)(n*1), T3; \
	LEAQ -32(n*8), T1; \
	SHLXQ T1, T3, T3; \
	ORQ T3, T0; \
	JMP loaded; \
below4: \
	MOVBQZX (p), T0; \
	MOVQ n, T1; \
	SHRQ $1, T1; \
	MOVBQZX (p)(T1*1), T3; \
	SHLQ $3, T1; \
	SHLXQ T1, T3, T3; \
	ORQ T3, T0; \
	MOVBQZX -1(p)(n*1), T3; \
	LEAQ -8(n*8), T1; \
	SHLXQ T1, T3, T3; \
	ORQ T3, T0; \
loaded: \
	VMOVQ T0, BLKX; \
	VPINSRQ $1, T2, BLKX, BLKX

// STORE_PART: stores the first LEFT octets of S0X, 1 to 15, at OUT. No other octet is written.
// Branches, addresses and shift counts depend on LEFT alone.
#define STORE_PART(below8, below4, stored) \
	VMOVQ S0X, T0; \
	CMPQ LEFT, $8; \
	JLT below8; \
	VPEXTRQ $1, S0X, T2; \
	MOVQ T0, (OUT); \
	LEAQ -64(LEFT*8), T1; \
	SHRXQ T1, T0, T0; \
	MOVQ $56, T3; \
	SUBQ T1, T3; \
	SHLXQ T3, T2, T2; \
	SHLQ $8, T2; \
	ORQ T2, T0; \
	MOVQ T0, -8(OUT)(LEFT*1); \
	JMP stored; \
below8: \
	CMPQ LEFT, $4; \
	JLT below4; \
	MOVL T0, (OUT); \
	LEAQ -32(LEFT*8), T1; \
	SHRXQ T1, T0, T0; \
	MOVL T0, -4(OUT)(LEFT*1); \
	JMP stored; \
below4: \
	MOVB T0, (OUT); \
	MOVQ LEFT, T2; \
	SHRQ $1, T2; \
	LEAQ (T2*8), T1; \
	SHRXQ T1, T0, T3; \
	MOVB T3, (OUT)(T2*1); \
	LEAQ -8(LEFT*8), T1; \
	SHRXQ T1, T0, T3; \
	MOVB T3, -1(OUT)(LEFT*1); \
stored:

// LOAD_12: to = the 12 octets at p, followed by zeros. They are loaded as esp has just stored them,
// 4 and 8: a load that spans two stores would wait for both.
#define LOAD_12(p, to) \
	VMOVQ 4(p), to; \
	VPSLLDQ $4, to, to; \
	VPINSRD $0, (p), to, to

// TIMES_H: ACC = BLK * H. The high lane of BLK must be zero.
#define TIMES_H \
	CLEAR_PRODUCT; \
	MULTIPLY(POWER(1)(K), (POWER(1)+FOLDED)(K)); \
	REDUCE(ACCX)

// BEGIN: computes the first counters, and in ACC the hash of the additional data without the last
// multiplication by H; zero if there is no additional data. Branches depend on AADLEN alone.
#define BEGIN \
	MOVQ schedule_rounds(K), LAST; \
	SHLQ $4, LAST; \
	LEAQ schedule_keys(K)(LAST*1), LAST; \
	LOAD_12(NONCE, CTRX); \
	VPSHUFB swap<>(SB), CTRX, CTRX; \
	VINSERTI128 $1, CTRX, CTR, CTR; \
	VPADDD start<>(SB), CTR, CTR; \
	VPXOR ACC, ACC, ACC; \
	CMPQ AADLEN, $8; \
	JNE aadNot8; \
	VMOVD (AAD), BLKX; \
	VPINSRD $1, 4(AAD), BLKX, BLKX; \
	JMP aadLoaded; \
aadNot8: \
	CMPQ AADLEN, $12; \
	JNE aadOther; \
	LOAD_12(AAD, BLKX); \
	JMP aadLoaded; \
aadBlock: \
	VMOVDQU (AAD), BLKX; \
	VPSHUFB swap<>(SB), BLKX, BLKX; \
	VPXOR ACCX, BLKX, BLKX; \
	TIMES_H; \
	ADDQ $16, AAD; \
	SUBQ $16, AADLEN; \
aadOther: \
	CMPQ AADLEN, $16; \
	JGT aadBlock; \
	JEQ aadFull; \
	TESTQ AADLEN, AADLEN; \
	JEQ aadDone; \
	LOAD_PART(AAD, AADLEN, aadBelow8, aadBelow4, aadPart); \
	JMP aadLoaded; \
aadFull: \
	VMOVDQU (AAD), BLKX; \
aadLoaded: \
	VPSHUFB swap<>(SB), BLKX, BLKX; \
	VPXOR BLKX, ACCX, ACCX; \
aadDone:

// TAIL_POWER: POW = the address of the power for the first block of the tail. The tail is the
// remaining text, of t blocks, 0 to 16. The block of lengths follows, with H^1, so the first block
// has H^(t+1).
#define TAIL_POWER \
	LEAQ 15(LEFT), POW; \
	ANDQ $-16, POW; \
	NEGQ POW; \
	LEAQ POWER(1)(K)(POW*1), POW

// TAIL_BEGIN: computes the product of ACC and the power at T0, and that of the lengths, T1 and T2
// octets, and H (SP 800-38D, Section 7.1: additional data first); then the key stream of the tail
// in S0 to S7, as much as is needed, and next to it E(K, J0) in MASKX. Branches depend on LEFT.
#define TAIL_BEGIN \
	SHLQ $3, T1; \
	SHLQ $3, T2; \
	VMOVQ T2, BLKX; \
	VPINSRQ $1, T1, BLKX, BLKX; \
	VINSERTI128 $1, BLKX, ACC, BLK; \
	VMOVDQU (T0), X0; \
	VINSERTI128 $1, POWER(1)(K), S0, S0; \
	VMOVDQU FOLDED(T0), X1; \
	VINSERTI128 $1, (POWER(1)+FOLDED)(K), S1, S1; \
	CLEAR_PRODUCT; \
	MULTIPLY(S0, S1); \
	MOVL $0x01000000, T0; \
	LOAD_12(NONCE, MASKX); \
	VPINSRD $3, T0, MASKX, MASKX; \
	VBROADCASTI128 schedule_keys(K), RK; \
	VPXOR RKX, MASKX, MASKX; \
	LEAQ (schedule_keys+16)(K), KEY; \
	COUNTER(S0); \
	COUNTER(S1); \
	CMPQ LEFT, $64; \
	JGT upTo8; \
	STREAM(ROUND2, LAST2, rounds4); \
	JMP streamed; \
upTo8: \
	COUNTER(S2); \
	COUNTER(S3); \
	CMPQ LEFT, $128; \
	JGT upTo16; \
	STREAM(ROUND4, LAST4, rounds8); \
	JMP streamed; \
upTo16: \
	COUNTER(S4); \
	COUNTER(S5); \
	COUNTER(S6); \
	COUNTER(S7); \
	STREAM(ROUND8, LAST8, rounds16); \
streamed:

// STREAM: all rounds, for the registers that round and last process, and for MASKX. The number of
// rounds depends on the length of the key, not on the key.
#define STREAM(round, last, again) \
again: \
	VBROADCASTI128 (KEY), RK; \
	round; \
	VAESENC RKX, MASKX, MASKX; \
	ADDQ $16, KEY; \
	CMPQ KEY, LAST; \
	JNE again; \
	VBROADCASTI128 (LAST), RK; \
	last; \
	VAESENCLAST RKX, MASKX, MASKX

// PAIR_DONE: advances by n octets, and n/16 powers.
#define PAIR_DONE(n) \
	VPSHUFB swap<>(SB), BLK, BLK; \
	MULTIPLY((POW), FOLDED(POW)); \
	ADDQ $n, IN; \
	ADDQ $n, OUT; \
	ADDQ $n, POW; \
	SUBQ $n, LEFT

// SEAL_PAIR: seals two blocks of the tail with the key stream in S0, if there are two; then S0
// holds the key stream of the next.
#define SEAL_PAIR(next) \
	CMPQ LEFT, $32; \
	JLT single; \
	VPXOR (IN), S0, BLK; \
	VMOVDQU BLK, (OUT); \
	PAIR_DONE(32); \
	VMOVDQA next, S0

#define OPEN_PAIR(next) \
	CMPQ LEFT, $32; \
	JLT single; \
	VMOVDQU (IN), BLK; \
	VPXOR BLK, S0, S0; \
	VMOVDQU S0, (OUT); \
	PAIR_DONE(32); \
	VMOVDQA next, S0
