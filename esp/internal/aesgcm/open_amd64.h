// The body of an opening function, between the loads of its arguments and its return: see
// seal_amd64.h. T1 holds the length of the input. At the end T0 is 0 (authentic) or 1 (forged).

	CMPQ OUT, IN
	JEQ inPlace
	APART(OUT, LEFT, IN, T1, inPlace, overlap)
	APART(OUT, LEFT, AAD, AADLEN, apart, overlap)
	BEGIN
	CMPQ LEFT, $CHUNK_LEN
	JGT chunks
	TAIL_POWER
	LEAQ -16(POW), T0
	JMP tail

chunks:
	VMOVDQA ACC, BLK
	TIMES_H
	LEAQ -1(LEFT), CHUNKS
	SHRQ $CHUNK_SHIFT, CHUNKS
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
	OPEN_REGISTER(S1)
	OPEN_REGISTER(S2)
	OPEN_REGISTER(S3)
	OPEN_REGISTER(S4)
	OPEN_REGISTER(S5)
	OPEN_REGISTER(S6)
	OPEN_REGISTER(S7)
	OPEN_REGISTER(S7)

single:
	OPEN_SINGLE

part:
	TESTQ LEFT, LEFT
	JEQ tag
	LOAD_PART(IN, LEFT, below8, below4, loaded)
	VPXOR BLKX, S0X, S0X
	VPSHUFB swap<>(SB), BLKX, BLKX
	MULTIPLY_ADD((POW), FOLDED(POW))
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
