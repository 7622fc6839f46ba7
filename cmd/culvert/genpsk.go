package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// pskOctets is the length of a new pre-shared key: as much as the strongest PRF takes in.
const pskOctets = 32

// genPSK prints a new pre-shared key, which is text that every gateway takes.
func genPSK(c *call) error {
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	secret := make([]byte, pskOctets)
	rand.Read(secret) // never fails
	_, err := fmt.Fprintln(c.stdout, base64.RawURLEncoding.EncodeToString(secret))
	return err
}
