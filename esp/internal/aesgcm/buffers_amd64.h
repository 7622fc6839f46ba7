// What depends on the lengths and the places of buffers: overlaps, and blocks that are not whole.
// macros_amd64.h names the registers.

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

// HEADROOM is the length of an ESP packet's header and IV, which precede the text.
#define HEADROOM 16

// PACKET_NONCE: to = the nonce of the ESP packet at NONCE, salt and IV (RFC 4106, Section 4),
// followed by zeros.
#define PACKET_NONCE(to) \
	VMOVQ 8(NONCE), to; \
	VPSLLDQ $4, to, to; \
	VPINSRD $0, SALT, to, to
