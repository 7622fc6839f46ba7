package wire

import "testing"

func TestTransformNames(t *testing.T) {
	for _, tt := range []struct {
		t             Transform
		keyword, iana string
	}{
		{Transform{Type: TransformENCR, ID: EncrAESGCM16, KeyLength: 256}, "aes256gcm16", "ENCR_AES_GCM_16 256"},
		{Transform{Type: TransformENCR, ID: EncrAESCBC, KeyLength: 128}, "aes128", "ENCR_AES_CBC 128"},
		{Transform{Type: TransformENCR, ID: EncrAESCBC}, "aes", "ENCR_AES_CBC"},
		{Transform{Type: TransformENCR, ID: EncrChaCha20Poly1305}, "chacha20poly1305", "ENCR_CHACHA20_POLY1305"},
		{Transform{Type: TransformENCR, ID: EncrChaCha20Poly1305, KeyLength: 256}, "ENCR_CHACHA20_POLY1305 256", "ENCR_CHACHA20_POLY1305 256"},
		{Transform{Type: TransformENCR, ID: 31}, "ENCR_CHACHA20_POLY1305_IIV", "ENCR_CHACHA20_POLY1305_IIV"},
		{Transform{Type: TransformPRF, ID: PRFHMACSHA2384}, "prfsha384", "PRF_HMAC_SHA2_384"},
		{Transform{Type: TransformINTEG, ID: IntegHMACSHA2256, UnknownAttribute: true}, "sha256+?", "AUTH_HMAC_SHA2_256_128"},
		{Transform{Type: TransformKE, ID: GroupX25519}, "x25519", "Curve25519"},
		{Transform{Type: TransformADDKE1, ID: GroupMLKEM768}, "ke1_mlkem768", "ml-kem-768"},
		{Transform{Type: TransformKE, ID: 1025}, "KE(1025)", "KE(1025)"},
	} {
		if got := tt.t.String(); got != tt.keyword {
			t.Errorf("got %s, want %s", got, tt.keyword)
		}
		if got := tt.t.IANAName(); got != tt.iana {
			t.Errorf("got %s, want %s", got, tt.iana)
		}
	}
}

func TestProposalString(t *testing.T) {
	gcm, x25519 := Transform{Type: TransformENCR, ID: EncrAESGCM16, KeyLength: 128}, Transform{Type: TransformKE, ID: GroupX25519}
	esn, noESN := Transform{Type: TransformESN, ID: ESNYes}, Transform{Type: TransformESN, ID: ESNNo}
	none := Transform{Type: TransformINTEG, ID: IntegNone}
	for _, tt := range []struct {
		transforms []Transform
		want       string
	}{
		{[]Transform{gcm, none, x25519, noESN}, "aes128gcm16-x25519"},
		{[]Transform{gcm, esn}, "aes128gcm16-esn"},
		{[]Transform{gcm, esn, noESN}, "aes128gcm16-esn-noesn"},
		{nil, "empty"},
	} {
		if got := (Proposal{Transforms: tt.transforms}).String(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
