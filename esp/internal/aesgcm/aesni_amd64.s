#include "go_asm.h"
#include "textflag.h"
#include "xmm_amd64.h"
#include "macros_amd64.h"
#include "buffers_amd64.h"

// Sealing and opening with AES-NI and PCLMULQDQ, encoded by AVX, on XMM registers.

// func sealXMM(k *schedule, out, nonce, plaintext, aad []byte) (ok bool)
TEXT ·sealXMM(SB), NOSPLIT, $0-105
	MOVQ k+0(FP), K
	MOVQ out_base+8(FP), OUT
	MOVQ out_len+16(FP), T1
	MOVQ nonce_base+32(FP), NONCE
	MOVQ plaintext_base+56(FP), IN
	MOVQ plaintext_len+64(FP), LEFT
	MOVQ aad_base+80(FP), AAD
	MOVQ aad_len+88(FP), AADLEN
#define NONCE_BLOCK(to) LOAD_12(NONCE, to)
#define LENGTHS \
	MOVQ aad_len+88(FP), T1; \
	MOVQ plaintext_len+64(FP), T2

	CMPQ OUT, IN
	JEQ inPlace
	APART(OUT, T1, IN, LEFT, inPlace, overlap)
	APART(OUT, T1, AAD, AADLEN, apart, overlap)
	BEGIN
	HASH_AAD
#include "seal_amd64.h"
#undef LENGTHS
	MOVB $1, ok+104(FP)
	RET

overlap:
	MOVB $0, ok+104(FP)
	RET

// func openXMM(k *schedule, out, nonce, ciphertext, aad []byte) (v verdict)
TEXT ·openXMM(SB), NOSPLIT, $0-112
	MOVQ k+0(FP), K
	MOVQ out_base+8(FP), OUT
	MOVQ out_len+16(FP), LEFT
	MOVQ nonce_base+32(FP), NONCE
	MOVQ ciphertext_base+56(FP), IN
	MOVQ ciphertext_len+64(FP), T1
	MOVQ aad_base+80(FP), AAD
	MOVQ aad_len+88(FP), AADLEN
#define LENGTHS \
	MOVQ aad_len+88(FP), T1; \
	MOVQ out_len+16(FP), T2

	CMPQ OUT, IN
	JEQ inPlace
	APART(OUT, LEFT, IN, T1, inPlace, overlap)
	APART(OUT, LEFT, AAD, AADLEN, apart, overlap)
	BEGIN
	HASH_AAD
#define LAST_PART OPEN_PART
#include "open_amd64.h"
#undef LAST_PART
#undef LENGTHS
#undef NONCE_BLOCK
	MOVQ T0, v+104(FP)
	RET

overlap:
	MOVQ $const_overlapping, v+104(FP)
	RET

// func sealPacketXMM(k *schedule, packet, text *byte, n int, number uint64, aad int, salt uint32) (ok bool)
TEXT ·sealPacketXMM(SB), NOSPLIT, $0-57
	MOVQ k+0(FP), K
	MOVQ packet+8(FP), NONCE
	MOVQ text+16(FP), IN
	MOVQ n+24(FP), LEFT
	LEAQ HEADROOM(NONCE), OUT
	MOVL salt+48(FP), SALT
#define NONCE_BLOCK(to) PACKET_NONCE(to)
#define LENGTHS \
	MOVQ aad+40(FP), T1; \
	MOVQ n+24(FP), T2

	CMPQ OUT, IN
	JEQ inPlace
	LEAQ 16(LEFT), T1
	APART(OUT, T1, IN, LEFT, inPlace, overlap)
	BEGIN
	HASH_HEADER(number+32(FP))
#include "seal_amd64.h"
#undef LENGTHS
#undef NONCE_BLOCK
	MOVB $1, ok+56(FP)
	RET

overlap:
	MOVB $0, ok+56(FP)
	RET

// func openPacketXMM(k *schedule, packet *byte, n int, number uint64, aad int, salt uint32) (v verdict)
TEXT ·openPacketXMM(SB), NOSPLIT, $0-56
	MOVQ k+0(FP), K
	MOVQ packet+8(FP), NONCE
	MOVQ n+16(FP), LEFT
	LEAQ HEADROOM(NONCE), OUT
	MOVQ OUT, IN
	MOVL salt+40(FP), SALT
#define NONCE_BLOCK(to) PACKET_NONCE(to)
#define LENGTHS \
	MOVQ aad+32(FP), T1; \
	MOVQ n+16(FP), T2

	BEGIN
	HASH_HEADER(number+24(FP))
#define LAST_PART OPEN_PART_IN_PLACE
#include "open_amd64.h"
#undef LAST_PART
#undef LENGTHS
#undef NONCE_BLOCK
	MOVQ T0, v+48(FP)
	RET
