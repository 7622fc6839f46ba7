package adversary

import (
	"culvert/ike/wire"
)

// A Stage is a kind of message that the peer sends.
type Stage uint8

// The stages: requests of the peer, and its responses.
const (
	InitRequest Stage = iota
	InitResponse
	AuthRequest
	AuthResponse
	NewChildRequest
	NewChildResponse
	RekeyChildRequest
	RekeyChildResponse
	RekeyIKERequest
	RekeyIKEResponse
	DeleteChildRequest
	DeleteChildResponse
	DeleteIKERequest
	DeleteIKEResponse
	LivenessRequest
	LivenessResponse
	Stages // how many there are
)

// String returns the stage in words.
func (s Stage) String() string {
	return [Stages + 1]string{
		"IKE_SA_INIT request", "IKE_SA_INIT response", "IKE_AUTH request", "IKE_AUTH response",
		"new child request", "new child response", "child rekey request", "child rekey response",
		"IKE rekey request", "IKE rekey response", "child delete request", "child delete response",
		"IKE delete request", "IKE delete response", "liveness request", "liveness response", "no stage",
	}[min(s, Stages)]
}

// Response reports whether the stage is a response of the peer.
func (s Stage) Response() bool { return s%2 == 1 }

// Protected reports whether the message has SK{}.
func (s Stage) Protected() bool { return s > InitResponse }

// A Move changes a message on its way out. The zero Move changes nothing. Slices that its functions
// are given are theirs.
type Move struct {
	Name      string
	Pieces    func(ps []Piece) []Piece        // the payloads, before encryption
	Header    func(h *wire.Header)            // authenticated with them
	Trailer   []byte                          // in place of the padding and its length, unless nil
	Parts     func(whole Part) []Part         // in place of SK{}
	Datagrams func(list [][]byte) [][]byte    // after encryption
	Before    func(genuine [][]byte) [][]byte // sent before the genuine datagrams
	Want      wire.NotifyType                 // what the RFC answers such a request with; 0: it does not say
}
