package keyfile

import "culvert/internal/revocation"

// LoadCRLs reads the certificate revocation lists of a file, of which there is at least one.
func LoadCRLs(path string) ([]*revocation.CRL, error) {
	f, err := open(path, maxCRL)
	if err != nil {
		return nil, err
	}
	var list []*revocation.CRL
	for _, it := range f.items {
		// In DER, a certificate has the same shape.
		if it.form != crl && it.form != x509Certificate {
			continue
		}
		c, err := revocation.ParseCRL(it.der)
		if err != nil && it.form == x509Certificate {
			return nil, f.lacks(crl)
		}
		if err != nil {
			return nil, f.because(err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, f.lacks(crl)
	}
	return list, nil
}
