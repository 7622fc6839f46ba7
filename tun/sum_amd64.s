#include "textflag.h"

// func sumAVX2(b *byte, blocks int) uint64
//
// Two times 32 octets at once: their even and their odd 32-bit words are added to 64-bit sums of their own, so that no carry is ever lost or waited for.
TEXT ·sumAVX2(SB), NOSPLIT, $0-24
	MOVQ b+0(FP), SI
	MOVQ blocks+8(FP), CX
	VPCMPEQD Y15, Y15, Y15
	VPSRLQ $32, Y15, Y15
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3

block:
	VMOVDQU (SI), Y4
	VMOVDQU 32(SI), Y5
	VPAND Y15, Y4, Y6
	VPAND Y15, Y5, Y7
	VPSRLQ $32, Y4, Y4
	VPSRLQ $32, Y5, Y5
	VPADDQ Y6, Y0, Y0
	VPADDQ Y4, Y1, Y1
	VPADDQ Y7, Y2, Y2
	VPADDQ Y5, Y3, Y3
	ADDQ $64, SI
	DECQ CX
	JNZ block

	VPADDQ Y1, Y0, Y0
	VPADDQ Y3, Y2, Y2
	VPADDQ Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDQ X1, X0, X0
	VPSRLDQ $8, X0, X1
	VPADDQ X1, X0, X0
	MOVQ X0, ret+16(FP)
	VZEROUPPER
	RET
