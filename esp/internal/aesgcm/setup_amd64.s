#include "go_asm.h"
#include "textflag.h"
#include "xmm_amd64.h"
#include "macros_amd64.h"
#include "buffers_amd64.h"

// Work done once for each key, and once for the processor. No branch and no address depends on a
// key.

// func setup(k *schedule)
TEXT ·setup(SB), NOSPLIT, $0-8
	MOVQ k+0(FP), K
	MOVQ schedule_rounds(K), LAST
	SHLQ $4, LAST
	LEAQ schedule_keys(K)(LAST*1), LAST
	LEAQ (schedule_keys+16)(K), KEY
	VMOVDQU schedule_keys(K), BLKX // H = E(K, 0)

rounds:
	VAESENC (KEY), BLKX, BLKX
	ADDQ $16, KEY
	CMPQ KEY, LAST
	JNE rounds
	VAESENCLAST (LAST), BLKX, BLKX

	// H/x: all bits move one place up, from the low half into the high one as well. A bit that
	// falls out, x^0/x, comes back as x^127 + x^6 + x + 1, which is POLY*2^64 + 1.
	VPSHUFB swap<>(SB), BLKX, BLKX
	VPSHUFD $0xd3, BLKX, TMPX // words 3, 0, 1, 3
	VPSRAD $31, TMPX, TMPX
	VPAND carry<>(SB), TMPX, TMPX
	VPADDQ BLKX, BLKX, BLKX
	VPXOR TMPX, BLKX, BLKX

	LEAQ POWER(1)(K), POW
	MOVQ $18, LEFT

power: // H^n, then H^n * H
	VMOVDQU BLKX, (POW)
	VPSHUFD $0x4e, BLKX, TMPX
	VPXOR BLKX, TMPX, TMPX
	VMOVDQU TMPX, FOLDED(POW)
	TIMES_H
	VMOVDQA ACC, BLK
	SUBQ $16, POW
	DECQ LEFT
	JNE power
	RET

// func subWord(w uint32) uint32
TEXT ·subWord(SB), NOSPLIT, $0-12
	MOVL w+0(FP), AX
	VMOVD AX, X0
	VPSHUFD $0, X0, X0
	VAESKEYGENASSIST $0, X0, X0 // its lowest word is SubWord of word 1 (FIPS 197, Section 5.2)
	VMOVD X0, AX
	MOVL AX, ret+8(FP)
	RET

// func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL subleaf+4(FP), CX
	CPUID
	MOVL AX, eax+8(FP)
	MOVL BX, ebx+12(FP)
	MOVL CX, ecx+16(FP)
	MOVL DX, edx+20(FP)
	RET

// func xgetbv() (eax uint32)
TEXT ·xgetbv(SB), NOSPLIT, $0-4
	XORL CX, CX
	XGETBV
	MOVL AX, eax+0(FP)
	RET
