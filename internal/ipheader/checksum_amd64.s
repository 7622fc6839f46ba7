#include "textflag.h"

// Octets 0x8000 in every 16-bit word, and 1 in every one.
DATA bias<>+0(SB)/8, $0x8000800080008000
DATA bias<>+8(SB)/8, $0x8000800080008000
DATA bias<>+16(SB)/8, $0x8000800080008000
DATA bias<>+24(SB)/8, $0x8000800080008000
GLOBL bias<>(SB), NOPTR|RODATA, $32

DATA ones<>+0(SB)/8, $0x0001000100010001
DATA ones<>+8(SB)/8, $0x0001000100010001
DATA ones<>+16(SB)/8, $0x0001000100010001
DATA ones<>+24(SB)/8, $0x0001000100010001
GLOBL ones<>(SB), NOPTR|RODATA, $32

// ADD: sum += the 16 words at at, two by two. The multiplication, by one, is of signed words: with the highest bit turned over, a word is less by 0x8000 as a signed one.
#define ADD(at, tmp, sum) \
	VPXOR at, Y15, tmp; \
	VPMADDWD Y14, tmp, tmp; \
	VPADDD tmp, sum, sum

// func sumAVX2(b *byte, n int) uint64
TEXT ·sumAVX2(SB), NOSPLIT, $0-24
	MOVQ b+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ CX, AX
	SHLQ $14, AX // 0x8000 for each of the n/2 words
	VMOVDQU bias<>(SB), Y15
	VMOVDQU ones<>(SB), Y14
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	SUBQ $128, CX
	JLT rest

four:
	ADD(0(SI), Y4, Y0)
	ADD(32(SI), Y5, Y1)
	ADD(64(SI), Y6, Y2)
	ADD(96(SI), Y7, Y3)
	ADDQ $128, SI
	SUBQ $128, CX
	JGE four

rest:
	ADDQ $128, CX
	JEQ done

one:
	ADD(0(SI), Y4, Y0)
	ADDQ $32, SI
	SUBQ $32, CX
	JNE one

done:
	VPADDD Y1, Y0, Y0
	VPADDD Y3, Y2, Y2
	VPADDD Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD X1, X0, X0
	VPSHUFD $0x4e, X0, X1
	VPADDD X1, X0, X0
	VPSHUFD $0xb1, X0, X1
	VPADDD X1, X0, X0
	VMOVD X0, DX
	MOVLQSX DX, DX
	ADDQ DX, AX
	MOVQ AX, ret+16(FP)
	VZEROUPPER
	RET
