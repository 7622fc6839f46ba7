// The body of a sealing function, between the hash of the additional data and its return. LENGTHS
// puts the length of the additional data in T1 and that of the text in T2. macros_amd64.h explains
// the algorithm, and why neither time nor control flow depends on keys or texts.

	CMPQ LEFT, $CHUNK_LEN
	JGT chunks
	TAIL_POWER
	LEAQ -16(POW), T0 // the additional data precede the tail
	JMP tail

chunks:
	VMOVDQA ACC, BLK
	TIMES_H
	SEAL_LONG
	LEAQ -1(LEFT), CHUNKS
	SHRQ $CHUNK_SHIFT, CHUNKS // the tail is not empty
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
	ADDQ $CHUNK_LEN, HASHED
	DECQ CHUNKS
	JNE chunk

hashLast:
	HASH(1, HASHED, MULTIPLY)
	HASH(2, HASHED, MULTIPLY_ADD)
	HASH(3, HASHED, MULTIPLY_ADD)
	HASH(4, HASHED, MULTIPLY_ADD)
	HASH(5, HASHED, MULTIPLY_ADD)
	HASH(6, HASHED, MULTIPLY_ADD)
	HASH(7, HASHED, MULTIPLY_ADD)
	HASH_START(HASHED)
	REDUCE(ACCX)
	TAIL_POWER
	MOVQ POW, T0 // the hash so far is added to the first block of the tail

tail:
	LENGTHS
	TAIL_BEGIN
	SEAL_REGISTER(S1)
	SEAL_REGISTER(S2)
	SEAL_REGISTER(S3)
	SEAL_REGISTER(S4)
	SEAL_REGISTER(S5)
	SEAL_REGISTER(S6)
	SEAL_REGISTER(S7)
	SEAL_REGISTER(S7)

single:
	SEAL_SINGLE

part:
	TESTQ LEFT, LEFT
	JEQ tag
	LOAD_PART(IN, LEFT, below8, below4, loaded)
	LEAQ keep<>+16(SB), T0
	SUBQ LEFT, T0
	VPXOR BLKX, S0X, S0X
	VPAND (T0), S0X, S0X
	VPSHUFB swap<>(SB), S0X, BLKX
	MULTIPLY_ADD((POW), FOLDED(POW))
	VMOVDQU S0X, (OUT) // and zeros into the room of the tag
	ADDQ LEFT, OUT

tag:
	REDUCE(BLKX)
	VPSHUFB swap<>(SB), BLKX, BLKX
	VPXOR MASKX, BLKX, BLKX
	VMOVDQU BLKX, (OUT)
