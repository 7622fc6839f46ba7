#include "go_asm.h"
#include "textflag.h"
#include "macros_amd64.h"

// Sealing and opening. macros_amd64.h explains the algorithm and the registers, and why neither
// time nor control flow depends on keys or texts.

// func seal(k *schedule, out, nonce, plaintext, aad []byte) (ok bool)
TEXT ·seal(SB), NOSPLIT, $0-105
	MOVQ k+0(FP), K
	MOVQ out_base+8(FP), OUT
	MOVQ out_len+16(FP), T1
	MOVQ nonce_base+32(FP), NONCE
	MOVQ plaintext_base+56(FP), IN
	MOVQ plaintext_len+64(FP), LEFT
	MOVQ aad_base+80(FP), AAD
	MOVQ aad_len+88(FP), AADLEN

	CMPQ OUT, IN
	JEQ inPlace
	APART(OUT, T1, IN, LEFT, inPlace, overlap)
	APART(OUT, T1, AAD, AADLEN, apart, overlap)
	BEGIN
	CMPQ LEFT, $256
	JGT chunks
	TAIL_POWER
	LEAQ -16(POW), T0 // the additional data precede the tail
	JMP tail

chunks:
	VMOVDQA ACC, BLK
	TIMES_H
	LEAQ -1(LEFT), CHUNKS
	SHRQ $8, CHUNKS // the tail is not empty
	MOVQ OUT, HASHED
	COUNTERS
	ROUND(1)
	ROUND(2)
	ROUND(3)
	ROUND(4)
	ROUND(5)
	ROUND(6)
	ROUND(7)
	ROUND(8)
	ROUND(9)
	MORE_ROUNDS(lastOfFirst)
	CRYPT_CHUNK
	DECQ CHUNKS
	JEQ hashLast
	PCALIGN $32

chunk: // encrypts a chunk, hashes the one before
	CHUNK(HASHED, lastOfChunk)
	ADDQ $256, HASHED
	DECQ CHUNKS
	JNE chunk

hashLast:
	CLEAR_PRODUCT
	HASH(1, HASHED)
	HASH(2, HASHED)
	HASH(3, HASHED)
	HASH(4, HASHED)
	HASH(5, HASHED)
	HASH(6, HASHED)
	HASH(7, HASHED)
	HASH_FIRST(HASHED)
	REDUCE(ACCX)
	TAIL_POWER
	MOVQ POW, T0 // the hash so far is added to the first block of the tail

tail:
	MOVQ aad_len+88(FP), T1
	MOVQ plaintext_len+64(FP), T2
	TAIL_BEGIN
	SEAL_PAIR(S1)
	SEAL_PAIR(S2)
	SEAL_PAIR(S3)
	SEAL_PAIR(S4)
	SEAL_PAIR(S5)
	SEAL_PAIR(S6)
	SEAL_PAIR(S7)
	SEAL_PAIR(S7)

single:
	CMPQ LEFT, $16
	JLT part
	VPXOR (IN), S0X, BLKX
	VMOVDQU BLKX, (OUT)
	PAIR_DONE(16)
	VEXTRACTI128 $1, S0, S0X

part:
	TESTQ LEFT, LEFT
	JEQ tag
	LOAD_PART(IN, LEFT, below8, below4, loaded)
	LEAQ keep<>+16(SB), T0
	SUBQ LEFT, T0
	VPXOR BLKX, S0X, S0X
	VPAND (T0), S0X, S0X
	VPSHUFB swap<>(SB), S0X, BLKX
	MULTIPLY((POW), FOLDED(POW))
	STORE_PART(storeBelow8, storeBelow4, stored)
	ADDQ LEFT, OUT

tag:
	REDUCE(BLKX)
	VPSHUFB swap<>(SB), BLKX, BLKX
	VPXOR MASKX, BLKX, BLKX
	VMOVDQU BLKX, (OUT)
	MOVB $1, ok+104(FP)
	VZEROUPPER
	RET

overlap:
	MOVB $0, ok+104(FP)
	RET

// func open(k *schedule, out, nonce, ciphertext, aad []byte) (v verdict)
TEXT ·open(SB), NOSPLIT, $0-112
	MOVQ k+0(FP), K
	MOVQ out_base+8(FP), OUT
	MOVQ out_len+16(FP), LEFT
	MOVQ nonce_base+32(FP), NONCE
	MOVQ ciphertext_base+56(FP), IN
	MOVQ ciphertext_len+64(FP), T1
	MOVQ aad_base+80(FP), AAD
	MOVQ aad_len+88(FP), AADLEN

	CMPQ OUT, IN
	JEQ inPlace
	APART(OUT, LEFT, IN, T1, inPlace, overlap)
	APART(OUT, LEFT, AAD, AADLEN, apart, overlap)
	BEGIN
	CMPQ LEFT, $256
	JGT chunks
	TAIL_POWER
	LEAQ -16(POW), T0
	JMP tail

chunks:
	VMOVDQA ACC, BLK
	TIMES_H
	LEAQ -1(LEFT), CHUNKS
	SHRQ $8, CHUNKS
	PCALIGN $32

chunk: // decrypts and hashes a chunk: all of it is read before any of it is written
	CHUNK(IN, lastOfChunk)
	DECQ CHUNKS
	JNE chunk
	TAIL_POWER
	MOVQ POW, T0

tail:
	MOVQ aad_len+88(FP), T1
	MOVQ out_len+16(FP), T2
	TAIL_BEGIN
	OPEN_PAIR(S1)
	OPEN_PAIR(S2)
	OPEN_PAIR(S3)
	OPEN_PAIR(S4)
	OPEN_PAIR(S5)
	OPEN_PAIR(S6)
	OPEN_PAIR(S7)
	OPEN_PAIR(S7)

single:
	CMPQ LEFT, $16
	JLT part
	VMOVDQU (IN), BLKX
	VPXOR BLKX, S0X, X1
	VMOVDQU X1, (OUT)
	PAIR_DONE(16)
	VEXTRACTI128 $1, S0, S0X

part:
	TESTQ LEFT, LEFT
	JEQ tag
	LOAD_PART(IN, LEFT, below8, below4, loaded)
	VPXOR BLKX, S0X, S0X
	VPSHUFB swap<>(SB), BLKX, BLKX
	MULTIPLY((POW), FOLDED(POW))
	STORE_PART(storeBelow8, storeBelow4, stored)
	ADDQ LEFT, IN

tag: // all bits are compared, even after a difference
	REDUCE(BLKX)
	VPSHUFB swap<>(SB), BLKX, BLKX
	VPXOR MASKX, BLKX, BLKX
	VPXOR (IN), BLKX, BLKX
	XORL T0, T0
	VPTEST BLKX, BLKX
	SETNE T0
	MOVQ T0, v+104(FP)
	VZEROUPPER
	RET

overlap:
	MOVQ $const_overlapping, v+104(FP)
	RET
