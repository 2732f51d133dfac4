//! Files that change, or are out of date.

use super::*;

#[tokio::test]
async fn changed_files_are_used_for_new_connections_and_old_ones_stay() {
    let (first, second) = (TestCertificates::valid(), TestCertificates::valid());
    let files = Files::of(&first);
    let acceptor = acceptor(&files, &[]);
    let (mut old_server, mut old_client) = session(&acceptor, &client_trusting(&first)).await;
    files.replace(second.server_pem(), second.server_key_pem(), 1);
    session(&acceptor, &client_trusting(&second)).await;
    let (_, refused) = handshake(&acceptor, &client_trusting(&first)).await;
    assert!(matches!(refused.unwrap_err(), TlsError::ServerCertificate(_)));
    talk(&mut old_client, &mut old_server).await;
    talk(&mut old_server, &mut old_client).await;
}

#[tokio::test]
async fn a_changed_file_of_authorities_is_taken_up() {
    let (certificates, others) = (TestCertificates::valid(), TestCertificates::valid());
    let files = Files::of(&certificates);
    files.write("ca.pem", others.ca_pem(), 0);
    let ca = files.path("ca.pem");
    let acceptor = acceptor(&files, &[(TLS_CLIENT_CA.key, text(&ca)), (TLS_CLIENT_AUTH.key, "require")]);
    let client = client_with_certificate(&certificates, &certificates);
    let (refused, _) = refusal_of_certificate(&acceptor, &client).await;
    assert!(matches!(refused, AcceptError::ClientCertificate(_)));
    files.write("ca.pem", &format!("{}{}", others.ca_pem(), certificates.ca_pem()), 1);
    session(&acceptor, &client).await;
}

#[tokio::test]
async fn a_bad_new_pair_is_reported_once_and_the_old_one_stays_until_a_good_one_comes() {
    let logs = LogCapture::start();
    let (first, second) = (TestCertificates::valid(), TestCertificates::valid());
    let files = Files::of(&first);
    let acceptor = acceptor(&files, &[]);
    files.replace(second.server_pem(), first.server_key_pem(), 1);
    for _ in 0..3 {
        session(&acceptor, &client_trusting(&first)).await;
    }
    let errors = files.logs(&logs).at_least(log::Level::Error).lines();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].message.contains("does not fit"), "{errors:?}");
    fs::remove_file(files.path("key.pem")).unwrap();
    session(&acceptor, &client_trusting(&first)).await;
    assert_eq!(files.logs(&logs).at_least(log::Level::Error).lines().len(), 2);
    files.replace(second.server_pem(), second.server_key_pem(), 2);
    session(&acceptor, &client_trusting(&second)).await;
    files.logs(&logs).assert_logged(log::Level::Info, "in use for new connections");
}

#[tokio::test]
async fn files_are_not_looked_at_more_often_than_they_should_be() {
    let (first, second) = (TestCertificates::valid(), TestCertificates::valid());
    let files = Files::of(&first);
    let acceptor = acceptor(&files, &[]).config.acceptor_that_looks_every(Duration::from_secs(3600)).unwrap();
    files.replace(second.server_pem(), second.server_key_pem(), 1);
    session(&acceptor, &client_trusting(&first)).await;
}

#[test]
fn a_certificate_out_of_date_is_used_with_a_warning() {
    let logs = LogCapture::start();
    let files = Files::of(&TestCertificates::expired());
    acceptor(&files, &[]);
    files.logs(&logs).assert_logged(log::Level::Warn, "'EventFlux testkit server' has expired on Dec 31");
}
