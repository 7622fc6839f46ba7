//go:build !floor

package esp

import "culvert/esp/internal/aesgcm"

// Floor reports whether this build encrypts nothing: see aead_floor.go.
const Floor = false

func newAESGCM(key []byte) (aead, error) { return aesgcm.New(key) }
