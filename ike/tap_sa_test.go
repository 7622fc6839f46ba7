package ike

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"

	"culvert/ike/wire"
)

// tapSA holds the keys of one IKE SA as the tap derives them from the RFC, without package suite:
// so an error that both engines share shows here.
type tapSA struct {
	id         [2]wire.SPI
	prf        func() hash.Hash
	skD        []byte
	initiator  tapCipher // of what the original initiator sends
	responder  tapCipher
	requests   map[reqKey]*tapRequest
	lastID     map[bool]uint32 // by the Initiator flag: 1 + the ID of the last request
	answeredID map[bool]uint32 // 1 + the ID of the last response to it
	fragments  map[tapKey][][]byte
	first      map[tapKey]wire.PayloadType
}

// reqKey names a request on an SA: who asked, and its ID.
type reqKey struct {
	byInitiator bool
	id          uint32
}

// tapCipher is one direction's SK{} protection.
type tapCipher struct {
	aead   cipher.AEAD // with salt
	salt   []byte
	block  cipher.Block
	integ  func() hash.Hash
	integK []byte
}

func transformOf(p wire.Proposal, typ wire.TransformType) wire.Transform {
	for _, t := range p.Transforms {
		if t.Type == typ {
			return t
		}
	}
	return wire.Transform{}
}

var tapHashes = map[wire.TransformID]func() hash.Hash{
	wire.PRFHMACSHA2256: sha256.New, wire.PRFHMACSHA2384: sha512.New384, wire.PRFHMACSHA2512: sha512.New,
}

func tapPRF(h func() hash.Hash, key []byte, data ...[]byte) []byte {
	mac := hmac.New(h, key)
	for _, d := range data {
		mac.Write(d)
	}
	return mac.Sum(nil)
}

// newTapSA derives the keys of RFC 7296, Section 2.14, or for a rekeyed SA Section 2.18.
func newTapSA(id [2]wire.SPI, p wire.Proposal, ni, nr, shared []byte, old *tapSA) *tapSA {
	sa := &tapSA{
		id: id, requests: map[reqKey]*tapRequest{}, lastID: map[bool]uint32{}, answeredID: map[bool]uint32{},
		fragments: map[tapKey][][]byte{}, first: map[tapKey]wire.PayloadType{},
	}
	sa.prf = tapHashes[transformOf(p, wire.TransformPRF).ID]
	nonces := append(append([]byte{}, ni...), nr...)
	var seed []byte
	if old == nil {
		seed = tapPRF(sa.prf, nonces, shared)
	} else {
		seed = tapPRF(old.prf, old.skD, shared, nonces)
	}
	var spis [16]byte
	binary.BigEndian.PutUint64(spis[:], uint64(id[0]))
	binary.BigEndian.PutUint64(spis[8:], uint64(id[1]))
	encr, integ := transformOf(p, wire.TransformENCR), transformOf(p, wire.TransformINTEG)
	encrLen, integLen := int(encr.KeyLength)/8+4, 0
	integHash := map[wire.TransformID]func() hash.Hash{wire.IntegHMACSHA2256: sha256.New, wire.IntegHMACSHA2384: sha512.New384, wire.IntegHMACSHA2512: sha512.New}[integ.ID]
	switch {
	case encr.ID == wire.EncrChaCha20Poly1305:
		encrLen = 36
	case encr.ID == wire.EncrAESCBC:
		encrLen, integLen = int(encr.KeyLength)/8, integHash().Size()
	}
	size := sa.prf().Size()
	var stream, block []byte
	for n := byte(1); len(stream) < 3*size+2*integLen+2*encrLen; n++ {
		block = tapPRF(sa.prf, seed, block, nonces, spis[:], []byte{n})
		stream = append(stream, block...)
	}
	take := func(n int) []byte {
		part := stream[:n:n]
		stream = stream[n:]
		return part
	}
	sa.skD = take(size)
	ai, ar, ei, er := take(integLen), take(integLen), take(encrLen), take(encrLen)
	sa.initiator, sa.responder = newTapCipher(encr, ei, integHash, ai), newTapCipher(encr, er, integHash, ar)
	return sa
}

func newTapCipher(encr wire.Transform, key []byte, integ func() hash.Hash, integKey []byte) tapCipher {
	c := tapCipher{integ: integ, integK: integKey}
	if encr.ID == wire.EncrAESCBC {
		c.block, _ = aes.NewCipher(key)
		return c
	}
	n := len(key) - 4
	c.salt = key[n:]
	if encr.ID == wire.EncrChaCha20Poly1305 {
		c.aead, _ = chacha20poly1305.New(key[:n])
		return c
	}
	block, _ := aes.NewCipher(key[:n])
	c.aead, _ = cipher.NewGCM(block)
	return c
}

// open decrypts the body of a message, which begins at offset, by RFC 5282 or RFC 7296, Section
// 3.14.
func (sa *tapSA) open(byInitiator bool, data []byte, offset int) (iv, plain []byte, err error) {
	c := sa.responder
	if byInitiator {
		c = sa.initiator
	}
	if c.block != nil {
		return c.openCBC(data, offset)
	}
	if len(data) < offset+8+16 {
		return nil, nil, errors.New("short")
	}
	iv = data[offset : offset+8]
	plain, err = c.aead.Open(nil, append(append([]byte{}, c.salt...), iv...), data[offset+8:], data[:offset])
	if err != nil {
		return nil, nil, err
	}
	return unpad(iv, plain)
}

func (c tapCipher) openCBC(data []byte, offset int) (iv, plain []byte, err error) {
	icv := c.integ().Size() / 2
	end := len(data) - icv
	if end < offset+32 || (end-offset)%16 != 0 {
		return nil, nil, errors.New("short")
	}
	if !hmac.Equal(tapPRF(c.integ, c.integK, data[:end])[:icv], data[end:]) {
		return nil, nil, errors.New("ICV")
	}
	iv = data[offset : offset+16]
	plain = make([]byte, end-offset-16)
	cipher.NewCBCDecrypter(c.block, iv).CryptBlocks(plain, data[offset+16:end])
	return unpad(iv, plain)
}

func unpad(iv, plain []byte) ([]byte, []byte, error) {
	if len(plain) == 0 || int(plain[len(plain)-1]) >= len(plain) {
		return nil, nil, errors.New("padding")
	}
	return iv, plain[:len(plain)-1-int(plain[len(plain)-1])], nil
}

// checkWindow holds new requests against the window of one (RFC 7296, Section 2.3).
func (sa *tapSA) checkWindow(p *testPair, m *testMessage) {
	who, id := m.hdr.Initiator != m.hdr.Response, m.hdr.MessageID
	if m.hdr.Response {
		sa.answeredID[who] = max(sa.answeredID[who], id+1)
		return
	}
	last := sa.lastID[who]
	switch {
	case m.fragmentOfKnown(sa):
	case last == 0 && id > 1:
		p.violated("%s begins with request %d", m.from.name, id)
	case last != 0 && id != last:
		p.violated("%s sends request %d after %d", m.from.name, id, last-1)
	case last != 0 && sa.answeredID[who] < last:
		p.violated("%s sends request %d while %d is not answered", m.from.name, id, last-1)
	}
	sa.lastID[who] = max(last, id+1)
}

// fragmentOfKnown reports whether m is a further fragment of the last request.
func (m *testMessage) fragmentOfKnown(sa *tapSA) bool {
	return m.fragment != "" && sa.lastID[m.hdr.Initiator != m.hdr.Response] == m.hdr.MessageID+1
}

// join collects fragments; it returns the whole when the last has come.
func (sa *tapSA) join(key tapKey, first wire.PayloadType, total uint16, plain []byte) (wire.PayloadType, []byte) {
	n := key.fragment
	key.fragment = 0
	parts := sa.fragments[key]
	if len(parts) != int(total) {
		parts = make([][]byte, total)
	}
	if n == 1 {
		sa.first[key] = first
	}
	parts[n-1] = append([]byte{}, plain...)
	sa.fragments[key] = parts
	whole := []byte{}
	for _, part := range parts {
		if part == nil {
			return 0, nil
		}
		whole = append(whole, part...)
	}
	return sa.first[key], whole
}
