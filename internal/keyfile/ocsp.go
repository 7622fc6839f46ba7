package keyfile

import "culvert/internal/revocation"

// LoadOCSP reads the OCSP responses of a file, of which there is at least one, in DER. What they
// say, and of which certificates, is not looked at.
func LoadOCSP(path string) ([][]byte, error) {
	f, err := open(path, maxOCSP)
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for _, it := range f.items {
		if it.form != ocspResponse {
			continue
		}
		if err := revocation.CheckOCSP(it.der); err != nil {
			return nil, f.because(err)
		}
		list = append(list, it.der)
	}
	if len(list) == 0 {
		return nil, f.lacks(ocspResponse)
	}
	return list, nil
}
