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

#include "seal_amd64.h"
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

#include "open_amd64.h"
	MOVQ T0, v+104(FP)
	RET

overlap:
	MOVQ $const_overlapping, v+104(FP)
	RET
