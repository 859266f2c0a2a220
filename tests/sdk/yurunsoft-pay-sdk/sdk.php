<?php

// A call is the namespace of a request or notice of yurunsoft/pay-sdk, and begins with that of the wallet. The settings
// are the wallet's public parameters.

use Yurun\PaySDK\AlipayCrossBorder;
use Yurun\PaySDK\NotifyBase;
use Yurun\PaySDK\Weixin;
use Yurun\Util\YurunHttp\Http\Psr7\ServerRequest;
use Yurun\Util\YurunHttp\Http\Response;

const ROOT = 'Yurun\\PaySDK\\';

function set(object $target, array $values): object
{
    foreach ($values as $name => $value) {
        $target->$name = $value;
    }

    return $target;
}

// Reads a notice as in a framework that has PSR-7 messages. Throws if it is forged.
function read(object $sdk, NotifyBase $notice, ServerRequest $received): array
{
    set($notice, ['swooleRequest' => $received, 'swooleResponse' => new Response()]);
    $sdk->notify($notice);

    return $notice->data;
}

function received(array $fields): ServerRequest
{
    return new ServerRequest(null, [], $fields['xml'] ?? '', 'POST');
}

return function (array $settings): Closure {
    return function (string $call, array $fields) use ($settings) {
        $wallet = ROOT . strtok($call, '/');
        $publicParams = $wallet . '\\Params\\PublicParams';
        $class = $wallet . '\\SDK';
        $sdk = new $class(set(new $publicParams(), $settings));
        if ($sdk instanceof Weixin\SDK && isset($fields['sign_type'])) {
            $sdk->publicParams->sign_type = $fields['sign_type'];
            unset($fields['sign_type']);
        }
        switch ($call) {
            case 'Weixin/Notify/Pay':
                $notice = new class() extends Weixin\Notify\Pay {
                    protected function __exec() {}
                };

                return read($sdk, $notice, received($fields));
            case 'Weixin/Notify/Refund':
                $notice = new class() extends Weixin\Notify\Refund {
                    protected function __exec() {}
                };

                return read($sdk, $notice, received($fields));
            case 'AlipayCrossBorder/Online/Notify/Base':
                $notice = new class() extends AlipayCrossBorder\Online\Notify\Base {
                    protected function __exec() {}
                };

                return read($sdk, $notice, received([])->withParsedBody($fields));
        }
        $request = ROOT . str_replace('/', '\\', $call) . '\\Request';
        $params = set(new $request(), $fields);
        switch ($call) {
            case 'Weixin/DownloadBill':
                $file = tempnam(sys_get_temp_dir(), 'bill');
                $sdk->executeDownload($params, $file);
                $bill = file_get_contents($file);
                unlink($file);

                return $bill;
            case 'AlipayCrossBorder/Online/Pay':
            case 'AlipayCrossBorder/Online/WapPay':
                $sdk->swooleResponse = new Response();
                $sdk->redirectExecute($params);

                return $sdk->swooleResponse->getHeaderLine('Location');
        }

        return $sdk->execute($params);
    };
};
