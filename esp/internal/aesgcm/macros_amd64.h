// AES-GCM (NIST SP 800-38D) on vector registers. zmm_amd64.h, ymm_amd64.h or xmm_amd64.h is
// included before this file and says how wide they are: LANES blocks in each. A chunk is the blocks of 8
// registers.
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
// CTR. J0 has the counter 1, so the text begins with 2, and each chunk with 2 more than a multiple
// of CHUNK_BLOCKS. CTR holds the counter block of that multiple with its octets reversed, so that
// its 32-bit counter is the lowest word of its lane.

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
#define CHUNKS R13 // chunks left
#define AAD BX
#define SALT BX    // of a packet, in the low half
#define AADLEN DX
#define T0 R12 // outside of the loops over chunks
#define T1 R13
#define T2 R14
#define T3 R10

// Reverses the octets of each lane.
DATA swap<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA swap<>+8(SB)/8, $0x0001020304050607
DATA swap<>+16(SB)/8, $0x08090a0b0c0d0e0f
DATA swap<>+24(SB)/8, $0x0001020304050607
DATA swap<>+32(SB)/8, $0x08090a0b0c0d0e0f
DATA swap<>+40(SB)/8, $0x0001020304050607
DATA swap<>+48(SB)/8, $0x08090a0b0c0d0e0f
DATA swap<>+56(SB)/8, $0x0001020304050607
GLOBL swap<>(SB), NOPTR|RODATA, $64

// POLY: x + x^2 + x^7, the coefficient of x in the highest bit.
DATA poly<>+0(SB)/8, $0xc200000000000000
DATA poly<>+8(SB)/8, $0xc200000000000000
DATA poly<>+16(SB)/8, $0xc200000000000000
DATA poly<>+24(SB)/8, $0xc200000000000000
DATA poly<>+32(SB)/8, $0xc200000000000000
DATA poly<>+40(SB)/8, $0xc200000000000000
DATA poly<>+48(SB)/8, $0xc200000000000000
DATA poly<>+56(SB)/8, $0xc200000000000000
GLOBL poly<>(SB), NOPTR|RODATA, $64

// For the division by x: see setup.
DATA carry<>+0(SB)/8, $1
DATA carry<>+8(SB)/8, $0xc200000000000001
GLOBL carry<>(SB), NOPTR|RODATA, $16

// Block i is the counter i. Added (exclusive or) to a counter that is a multiple of CHUNK_BLOCKS,
// it counts on by i, if i is less than CHUNK_BLOCKS. Behind 15 are 0 and 1 again.
DATA count<>+24(SB)/8, $0x0100000000000000
DATA count<>+40(SB)/8, $0x0200000000000000
DATA count<>+56(SB)/8, $0x0300000000000000
DATA count<>+72(SB)/8, $0x0400000000000000
DATA count<>+88(SB)/8, $0x0500000000000000
DATA count<>+104(SB)/8, $0x0600000000000000
DATA count<>+120(SB)/8, $0x0700000000000000
DATA count<>+136(SB)/8, $0x0800000000000000
DATA count<>+152(SB)/8, $0x0900000000000000
DATA count<>+168(SB)/8, $0x0a00000000000000
DATA count<>+184(SB)/8, $0x0b00000000000000
DATA count<>+200(SB)/8, $0x0c00000000000000
DATA count<>+216(SB)/8, $0x0d00000000000000
DATA count<>+232(SB)/8, $0x0e00000000000000
DATA count<>+248(SB)/8, $0x0f00000000000000
DATA count<>+280(SB)/8, $0x0100000000000000
GLOBL count<>(SB), NOPTR|RODATA, $288

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

// MULTIPLY: LO, MI, HI = BLK * power in each lane; LO + HI is not added to MI yet. halves is the
// sum of the power's halves.
#define MULTIPLY(power, halves) \
	VPSHUFD $0x4e, BLK, TMP; \
	VXOR BLK, TMP, TMP; \
	VPCLMULQDQ $0x00, halves, TMP, MI; \
	VPCLMULQDQ $0x00, power, BLK, LO; \
	VPCLMULQDQ $0x11, power, BLK, HI

// MULTIPLY_ADD: LO, MI, HI += BLK * power.
#define MULTIPLY_ADD(power, halves) \
	VPSHUFD $0x4e, BLK, TMP; \
	VXOR BLK, TMP, TMP; \
	VPCLMULQDQ $0x00, halves, TMP, TMP; \
	VXOR TMP, MI, MI; \
	VPCLMULQDQ $0x00, power, BLK, TMP; \
	VXOR TMP, LO, LO; \
	VPCLMULQDQ $0x11, power, BLK, TMP; \
	VXOR TMP, HI, HI

// REDUCE: to = HI*2^128 + MI*2^64 + LO, reduced, with all lanes added. q is first the low half of
// LO, then that of MI.
#define REDUCE(to) \
	VXOR LO, MI, MI; \
	VXOR HI, MI, MI; \
	VPCLMULQDQ $0x00, poly<>(SB), LO, TMP; \
	VPSHUFD $0x4e, LO, LO; \
	VXOR LO, MI, MI; \
	VXOR TMP, MI, MI; \
	VPCLMULQDQ $0x00, poly<>(SB), MI, TMP; \
	VPSHUFD $0x4e, MI, MI; \
	VXOR MI, HI, HI; \
	ADD_LANES(to)

// HASH: multiplies the blocks of register i of the chunk at text by their powers, from
// H^(CHUNK_BLOCKS-LANES*i) down. multiply is MULTIPLY_ADD, or MULTIPLY for the first.
#define HASH(i, text, multiply) \
	VMOVE (WIDTH*i)(text), BLK; \
	VPSHUFB swap<>(SB), BLK, BLK; \
	multiply(POWER(CHUNK_BLOCKS-LANES*i)(K), (POWER(CHUNK_BLOCKS-LANES*i)+FOLDED)(K))

// HASH_START: the same for register 0, to which the hash so far is added. It comes last, since that
// hash takes longest to be known.
#define HASH_START(text) \
	VMOVE (text), BLK; \
	VPSHUFB swap<>(SB), BLK, BLK; \
	VXOR ACC, BLK, BLK; \
	MULTIPLY_ADD(POWER(CHUNK_BLOCKS)(K), (POWER(CHUNK_BLOCKS)+FOLDED)(K))

// BASE: TMP = the counter block of CTR in each lane, with the first round key added.
#define BASE \
	VPSHUFB swap<>(SB), CTR, TMP; \
	VXOR RK, TMP, TMP

// NEXT_BASE: the same for the next multiple of CHUNK_BLOCKS.
#define NEXT_BASE \
	VPADDD step<>(SB), CTR, CTR; \
	BASE

// COUNTER: s = the counter blocks that follow the base's by n.
#define COUNTER(n, s) VXOR count<>+(16*(n))(SB), TMP, s

// COUNTERS_0_1, 2_3, 4_7: the counter blocks of these registers, in this order, after BASE.
#define COUNTERS_0_1 \
	COUNTER(2, S0); \
	COUNTER(2+LANES, S1)

#define COUNTERS_2_3 \
	COUNTER(2+2*LANES, S2); \
	COUNTER(2+3*LANES, S3)

// COUNTERS: the counter blocks of a chunk.
#define COUNTERS \
	LOAD_KEY(schedule_keys(K)); \
	BASE; \
	COUNTERS_0_1; \
	COUNTERS_2_3; \
	COUNTERS_4_7

// ROUND2, 4, 8: one round of AES for 2, 4, 8 registers.
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

// ROUND: round n for a chunk.
#define ROUND(n) \
	LOAD_KEY((schedule_keys+16*n)(K)); \
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

// CRYPT: the last round for register i of a chunk, combined with the text. The round adds its
// operand at the end, so the text is added to the key before.
#define CRYPT(i, s) \
	VXOR (WIDTH*i)(IN), RK, TMP; \
	VAESENCLAST TMP, s, s; \
	VMOVE s, (WIDTH*i)(OUT)

// CRYPT_CHUNK: the last round for a chunk, and advance to the next.
#define CRYPT_CHUNK \
	LOAD_KEY((LAST)); \
	CRYPT(0, S0); \
	CRYPT(1, S1); \
	CRYPT(2, S2); \
	CRYPT(3, S3); \
	CRYPT(4, S4); \
	CRYPT(5, S5); \
	CRYPT(6, S6); \
	CRYPT(7, S7); \
	ADDQ $CHUNK_LEN, IN; \
	ADDQ $CHUNK_LEN, OUT; \
	SUBQ $CHUNK_LEN, LEFT

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

// CHUNK: CTR of a chunk, interleaved with the hash of another.
#define CHUNK(text, done) \
	COUNTERS; \
	ROUND(1); \
	HASH(1, text, MULTIPLY); \
	ROUND(2); \
	HASH(2, text, MULTIPLY_ADD); \
	ROUND(3); \
	HASH(3, text, MULTIPLY_ADD); \
	ROUND(4); \
	HASH(4, text, MULTIPLY_ADD); \
	ROUND(5); \
	HASH(5, text, MULTIPLY_ADD); \
	ROUND(6); \
	HASH(6, text, MULTIPLY_ADD); \
	ROUND(7); \
	HASH(7, text, MULTIPLY_ADD); \
	ROUND(8); \
	HASH_START(text); \
	ROUND(9); \
	MORE_ROUNDS(done) \
	REDUCE(ACCX); \
	CRYPT_CHUNK

// TIMES_H: ACC = BLK * H. The high lane of BLK must be zero.
#define TIMES_H \
	MULTIPLY(POWER(1)(K), (POWER(1)+FOLDED)(K)); \
	REDUCE(ACCX)

// BEGIN: computes LAST and the first counters. NONCE_BLOCK(to) is defined before a body is
// included: to = the nonce, followed by zeros.
#define BEGIN \
	MOVQ schedule_rounds(K), LAST; \
	SHLQ $4, LAST; \
	LEAQ schedule_keys(K)(LAST*1), LAST; \
	NONCE_BLOCK(CTRX); \
	VPSHUFB swap<>(SB), CTRX, CTRX; \
	COPY_CTR

// HASH_AAD: computes in ACC the hash of the additional data without the last multiplication by H;
// zero if there is no additional data. Branches depend on AADLEN alone.
#define HASH_AAD \
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

// HASH_HEADER: the same for the header of an ESP packet at NONCE (RFC 4106, Section 5): the SPI,
// and behind it number, which is 4 octets and zeros, or 8. There are no branches.
#define HASH_HEADER(number) \
	VMOVQ number, BLKX; \
	VPSLLDQ $4, BLKX, BLKX; \
	VPINSRD $0, (NONCE), BLKX, BLKX; \
	VPSHUFB swap<>(SB), BLKX, ACCX

// TAIL_POWER: POW = the address of the power for the first block of the tail. The tail is the
// remaining text, of t blocks, 0 to CHUNK_BLOCKS. The block of lengths follows, with H^1, so the
// first block has H^(t+1).
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
	TAIL_PRODUCTS; \
	MOVL $0x01000000, T0; \
	NONCE_BLOCK(MASKX); \
	VPINSRD $3, T0, MASKX, MASKX; \
	LOAD_KEY(schedule_keys(K)); \
	VPXOR RKX, MASKX, MASKX; \
	LEAQ (schedule_keys+16)(K), KEY; \
	BASE; \
	COUNTERS_0_1; \
	CMPQ LEFT, $(2*WIDTH); \
	JGT over2; \
	STREAM(ROUND2, LAST2, rounds2); \
	JMP streamed; \
over2: \
	COUNTERS_2_3; \
	CMPQ LEFT, $(4*WIDTH); \
	JGT over4; \
	STREAM(ROUND4, LAST4, rounds4); \
	JMP streamed; \
over4: \
	COUNTERS_4_7; \
	STREAM(ROUND8, LAST8, rounds8); \
streamed:

// STREAM: all rounds, for the registers that round and last process, and for MASKX. The number of
// rounds depends on the length of the key, not on the key.
#define STREAM(round, last, again) \
again: \
	LOAD_KEY((KEY)); \
	round; \
	VAESENC RKX, MASKX, MASKX; \
	ADDQ $16, KEY; \
	CMPQ KEY, LAST; \
	JNE again; \
	LOAD_KEY((LAST)); \
	last; \
	VAESENCLAST RKX, MASKX, MASKX

// ADVANCE: hashes BLK, and advances by n octets and n/16 powers.
#define ADVANCE(n) \
	VPSHUFB swap<>(SB), BLK, BLK; \
	MULTIPLY_ADD((POW), FOLDED(POW)); \
	ADDQ $n, IN; \
	ADDQ $n, OUT; \
	ADDQ $n, POW; \
	SUBQ $n, LEFT

// SEAL_REGISTER: seals LANES blocks of the tail with the key stream in S0, if they are there; then
// S0 holds the key stream of the next.
#define SEAL_REGISTER(next) \
	CMPQ LEFT, $WIDTH; \
	JLT single; \
	VPXOR (IN), S0, BLK; \
	VMOVDQU BLK, (OUT); \
	ADVANCE(WIDTH); \
	VMOVDQA next, S0

#define OPEN_REGISTER(next) \
	CMPQ LEFT, $WIDTH; \
	JLT single; \
	VMOVDQU (IN), BLK; \
	VPXOR BLK, S0, S0; \
	VMOVDQU S0, (OUT); \
	ADVANCE(WIDTH); \
	VMOVDQA next, S0

// OPEN_PART: opens the LEFT octets that are not a whole block, if there are any, with the key
// stream in S0X, and loads the tag behind them into S1X. OPEN_PART_IN_PLACE stores a whole block:
// the octets behind the text are the tag's, which stay as they are.
#define OPEN_PART \
	VMOVDQU (IN)(LEFT*1), S1X; \
	TESTQ LEFT, LEFT; \
	JEQ tag; \
	LOAD_PART(IN, LEFT, below8, below4, loaded); \
	VPXOR BLKX, S0X, S0X; \
	VPSHUFB swap<>(SB), BLKX, BLKX; \
	MULTIPLY_ADD((POW), FOLDED(POW)); \
	STORE_PART(storeBelow8, storeBelow4, stored)

#define OPEN_PART_IN_PLACE \
	VMOVDQU (IN)(LEFT*1), S1X; \
	TESTQ LEFT, LEFT; \
	JEQ tag; \
	LEAQ keep<>+16(SB), T0; \
	SUBQ LEFT, T0; \
	VMOVDQU (T0), TMPX; \
	VMOVDQU (IN), BLKX; \
	VPAND TMPX, S0X, S0X; \
	VPXOR BLKX, S0X, S0X; \
	VMOVDQU S0X, (OUT); \
	VPAND TMPX, BLKX, BLKX; \
	VPSHUFB swap<>(SB), BLKX, BLKX; \
	MULTIPLY_ADD((POW), FOLDED(POW))
