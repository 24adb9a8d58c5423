//! The line to the provider: the HTTP client, with the account's own CA and client certificate where it has them.

use std::sync::Arc;

use cutover_api::{Class, Fingerprint, References, Refusal, SecretRef};
use cutover_http_step::{Http, Tls};
use tokio::sync::Mutex;

/// Makes the client when it is first needed, and again when a certificate's file has changed.
pub(crate) struct Line {
    ca: Option<SecretRef>,
    client_cert: Option<SecretRef>,
    made: Mutex<Option<(Vec<Fingerprint>, Http)>>,
}

impl Line {
    pub(crate) fn new(ca: Option<SecretRef>, client_cert: Option<SecretRef>) -> Self {
        Self { ca, client_cert, made: Mutex::new(None) }
    }

    /// The client. A certificate that cannot be read or used is class `unsent`: nothing has left this machine.
    pub(crate) async fn open(&self, step: &str, references: &Arc<dyn References>) -> Result<Http, Refusal> {
        let unsent = |said: String| Refusal::new(Class::Unsent, step).hint(said);
        let read = |reference: &Option<SecretRef>| reference.as_ref().map(|of| references.open(of)).transpose().map_err(unsent);
        let (ca, client_cert) = (read(&self.ca)?, read(&self.client_cert)?);
        let seen: Vec<_> = [&ca, &client_cert].into_iter().flatten().map(cutover_api::Secret::fingerprint).collect();
        let mut made = self.made.lock().await;
        if let Some((of, http)) = &*made
            && *of == seen
        {
            return Ok(http.clone());
        }
        let tls = Tls { ca: ca.map(|pem| pem.expose().to_owned()), client_cert };
        let http = Http::new(&tls).map_err(unsent)?;
        *made = Some((seen, http.clone()));
        Ok(http)
    }
}
