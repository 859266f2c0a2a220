<?php

// Calls an SDK as requested by lines of JSON: php driver.php SDK.PHP FOLDER, where FOLDER has Composer's vendor.
//
// From the first line, the settings, the function of SDK.PHP makes the one that answers the later lines, each with a
// call and its fields. The response is a line with the result or the exception.

ini_set('display_errors', 'stderr');
require $argv[2] . '/vendor/autoload.php';
$answer = (require $argv[1])(json_decode(fgets(STDIN), true));
ob_start(fn () => ''); // an SDK prints what it would reply to a notice

while (($line = fgets(STDIN)) !== false) {
    $request = json_decode($line, true);
    $response = ['call' => $request['call']];
    try {
        $response['answer'] = $answer($request['call'], $request['fields']);
    } catch (Throwable $raised) {
        $response['raised'] = get_class($raised);
        $response['message'] = $raised->getMessage();
    }
    fwrite(STDOUT, json_encode($response, JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR) . "\n");
}
