//! Trust in a certificate authority of the stack's own, for probes of its TLS endpoints.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// What a client needs to trust these certificates (in DER), and no others.
pub fn trusting_only(certificates: &[Vec<u8>]) -> Result<ClientConfig, String> {
    let listed = certificates
        .iter()
        .map(|der| CertificateDer::from_slice(der).into_owned());
    let listed: Vec<CertificateDer<'static>> = listed.collect();
    let mut roots = RootCertStore::empty();
    for certificate in &listed {
        let added = roots.add(certificate.clone());
        added.map_err(|error| format!("a certificate of the `ca_file`: {error}"))?;
    }
    let signed = WebPkiServerVerifier::builder(Arc::new(roots))
        .build()
        .map_err(|error| error.to_string())?;
    Ok(ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Listed { listed, signed }))
        .with_no_client_auth())
}

/// Signed by one that is listed; or itself listed and self-signed, as `openssl req -x509` makes it: a CA by its own word,
/// which OpenSSL and curl take for a server's certificate, but WebPKI does not.
#[derive(Debug)]
struct Listed {
    listed: Vec<CertificateDer<'static>>,
    signed: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Listed {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .signed
            .verify_server_cert(server, intermediates, name, ocsp, now);
        match verified {
            // Found only after the dates were found good.
            Err(error) if is_ca(&error) && self.listed.iter().any(|listed| listed == server) => {
                verify_server_name(&ParsedCertificate::try_from(server)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

/// The library has a word for it, but no variant.
fn is_ca(error: &Error) -> bool {
    format!("{error:?}").contains("CaUsedAsEndEntity")
}
