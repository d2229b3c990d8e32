// CertificateAuthority: to come.
