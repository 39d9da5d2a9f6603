use super::Answer;
use crate::host::probes::Network;

/// Good when something accepts the connection.
pub async fn attempt(network: &dyn Network, host: &str, port: u16) -> Answer {
    match network.tcp(host, port).await {
        Ok(()) => Answer::Good,
        Err(why) => Answer::NotYet(why),
    }
}
