// CertificateAuthorityTests: to come.
